"""The web pages: HTML shells that scripts fill from the public API."""
