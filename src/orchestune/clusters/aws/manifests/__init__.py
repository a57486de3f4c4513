"""Cluster components beside the server: storage class, GPU device plugin, cluster autoscaler."""
