"""The networks, and what they share: cameras, a cache of latents, how attention begins."""
