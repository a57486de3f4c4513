"""The worker protocol as typed values, decoded and checked in one step.

Workers are the standard library alone and build these documents by hand; `tests/contract/wire` keeps both sides equal.
docs/reference/protocol.md describes the documents.
"""
