"""Outgoing requests of the server, to addresses that operators or users configure: webhooks and tracking servers."""
