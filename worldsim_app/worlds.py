"""The true worlds: importing this registers them with gymnasium, from a checkout and from a wheel alike."""

from envs.worlds import World
from worldsim import kernel_cache

kernel_cache.choose()

__all__ = ["World"]
