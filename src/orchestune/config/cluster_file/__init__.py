"""cluster.yml: a cluster at a cloud provider.

Its format is that of SigOpt Orchestrate 0.7 (as in the paper) or the current one.
"""
