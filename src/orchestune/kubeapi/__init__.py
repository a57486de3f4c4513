"""The API server of a cluster: which one a kubeconfig or a pod's account means, how to reach it, what it refuses."""
