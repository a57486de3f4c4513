"""Workers as jobs of Slurm, submitted from a machine that has its commands."""
