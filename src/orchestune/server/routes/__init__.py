"""The routes of docs/reference/protocol.md, one file for each noun."""
