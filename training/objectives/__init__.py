"""Losses, and what they are drawn over: noise levels, timesteps, degraded contexts."""
