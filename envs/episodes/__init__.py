"""Episodes on disk: written while they are played, sealed into one file, read again."""
