"""Frames in, numbers out."""
