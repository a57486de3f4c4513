"""Authentication and authorization: tokens, sessions, grants, terminals."""
