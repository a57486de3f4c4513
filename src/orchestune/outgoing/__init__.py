"""Outgoing requests of the server to URLs that its users configure: webhooks and experiment trackers."""
