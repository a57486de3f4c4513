"""Documents for clients, read from the store and from the state in memory. They write nothing."""
