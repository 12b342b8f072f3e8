"""The `worldsim` command: one table of commands, and those that need the dream and the true worlds both."""
