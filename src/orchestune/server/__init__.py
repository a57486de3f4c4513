"""The control plane's HTTP side: settings, authentication, routes, streams. Routes call services and nothing else."""
