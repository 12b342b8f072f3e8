"""Memory variants of Meta-ARVDM: a file here with a registered class is known by its name."""
