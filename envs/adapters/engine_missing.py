"""The error of a world whose engine is not installed."""


class EngineMissing(ValueError):
    """The engine of a backend is not here; the message says how to get it."""
