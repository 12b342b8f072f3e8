"""Timing, each benchmark a file of this package: ``python -m training.benchmark NAME [key=value ...]``."""
