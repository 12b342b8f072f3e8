"""Luanti (Minetest), a real open-source block game, as an environment: the stock binary, driven in lockstep.

``processes`` keeps children that die with us, ``game`` starts the engine and takes its frames, ``saved_map`` makes
the map once and keeps it, ``env`` is the gymnasium environment; ``driver.lua`` is the world mod on the other side.
"""
