"""Requests of the server to servers elsewhere, which its users name: webhooks and trackers."""
