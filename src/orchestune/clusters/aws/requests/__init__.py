"""Bodies of all create requests, as pure functions of the desired state."""
