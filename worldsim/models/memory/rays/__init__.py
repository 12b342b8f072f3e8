"""Remembered views that are read along the rays of a camera."""
