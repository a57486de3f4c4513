"""Security: audit events, an administrator's allowances, safe paths."""
