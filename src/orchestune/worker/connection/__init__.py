"""Connection to the server: requests, authentication of the server, reports and responses."""
