"""Tunnels to a server inside a Kubernetes cluster, and the gateway for browsers."""
