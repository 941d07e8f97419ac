"""The lab: a real Slurm cluster with accounting on this one machine, for tests, demonstrations and rehearsals."""
