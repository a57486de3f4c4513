"""Workers as Jobs of a Kubernetes cluster, one Job each."""
