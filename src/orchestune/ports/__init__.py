"""What the core asks of the outside: protocols whose docstrings state the duties of every implementation."""
