"""From a frame to latents and back."""
