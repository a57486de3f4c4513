"""Command line: one module per group of commands, and their presentation in a terminal."""
