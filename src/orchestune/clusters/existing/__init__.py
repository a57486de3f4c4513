"""A Kubernetes cluster that is there already: what we put into a namespace of it, and how it is taken away again."""
