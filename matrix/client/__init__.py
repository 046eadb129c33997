"""The other end of the server: a store that is somewhere else."""
