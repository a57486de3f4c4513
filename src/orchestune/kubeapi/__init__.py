"""Access to a Kubernetes API server: kubeconfigs, logins, pod service accounts, TLS, and error translation."""
