"""Loss functions: small, pure, elementwise."""
