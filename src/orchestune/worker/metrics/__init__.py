"""Metrics and resource usage of trials: output, metric files, GPUs, process trees."""
