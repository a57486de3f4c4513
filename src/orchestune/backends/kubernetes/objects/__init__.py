"""Kubernetes objects of a worker, as pure functions, and their delivery."""
