"""Deployment into an existing Kubernetes cluster: the objects created in one namespace, and their removal."""
