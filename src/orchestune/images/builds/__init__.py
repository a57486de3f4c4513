"""Image builds: Dockerfiles, contexts, builders on this machine and in a cluster."""
