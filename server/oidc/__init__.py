"""OpenID Connect: identity providers whose tokens the server accepts."""
