"""The resident sampler of a host. Standard library only, Python 3.9."""
