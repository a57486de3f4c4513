"""Permissions: the pod policy, preflight checks, identities, port-forwarding."""
