"""Input and output on a terminal, shared by all commands: parsers, tables, progress, prompts, signals."""
