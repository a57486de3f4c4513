"""The user's code as a content-addressed archive."""
