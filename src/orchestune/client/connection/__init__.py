"""HTTP connection to a server: transport, transfers, event streams, versions."""
