"""Slurm's hooks of NOMADE: their scripts, and what installing them changes beside slurm.conf."""
