"""Callbacks for training libraries, one module each: they report the library's metrics and stop its training early.

    from orchestune.integrations.xgboost import OrchestuneCallback

Each imports its library, and only the part of this package for scripts. Outside a trial they print.
"""
