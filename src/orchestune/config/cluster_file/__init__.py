"""cluster.yml: a cluster at a cloud provider, in the format of SigOpt Orchestrate 0.7 (as in the paper) or the current
one.
"""
