"""cluster.yml: a cluster at a cloud provider, in the spelling of the paper, of SigOpt Orchestrate 0.7, and in ours."""
