"""In the place of SigOpt Orchestrate's package; written by `orchestune init --from`."""
