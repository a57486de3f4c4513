"""The HTTP layer of the control plane: settings, authentication, routes, streams. Routes call services only."""
