"""Callbacks for training libraries, one module each: they report what the library measures, and end its training.

    from orchestune.integrations.xgboost import OrchestuneCallback

Each imports its library and, of this package, only what scripts use. Outside of a trial they print.
"""
