"""The true worlds: importing this registers them with gymnasium, from a checkout and from a wheel alike."""

from envs.worlds import World

__all__ = ["World"]
