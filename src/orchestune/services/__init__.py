"""The use cases: each turns a request or a report into rows, in one transaction."""
