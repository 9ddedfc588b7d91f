"""Sweeps on SLURM: arrays through submitit, what of them is queued, and scripts for sites with rules of their own."""
