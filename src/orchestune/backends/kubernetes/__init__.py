"""Kubernetes backend: each worker is a Job."""
