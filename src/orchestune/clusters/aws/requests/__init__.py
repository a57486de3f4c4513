"""Every request that makes something, as pure functions of what it shall be."""
