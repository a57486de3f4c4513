"""Interfaces between the core and the outside: protocols whose docstrings state the duties of every implementation."""
