"""A real OpenID Connect provider: the certified oidc-provider, on Node.js and loopback."""
