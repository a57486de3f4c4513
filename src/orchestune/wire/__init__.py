"""Typed messages of the worker protocol, decoded and validated in one step.

Workers use only the standard library and build these documents by hand; `tests/contract/wire` checks that both sides
agree. docs/reference/protocol.md describes the documents.
"""
