"""The web pages: shells that a browser fills from the public API."""
