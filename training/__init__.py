"""Collecting, training, evaluating and timing."""
