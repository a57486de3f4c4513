"""Slurm backend: each worker is a job, submitted from a host with Slurm's commands."""
