"""The routes of docs/reference/protocol.md, one module per resource."""
