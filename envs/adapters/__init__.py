"""Worlds of other people's engines."""
