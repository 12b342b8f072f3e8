"""Loops that numba compiles when they are first imported and keeps beside these files, and poses as plain numbers."""

from worldsim import kernel_cache

kernel_cache.choose()
