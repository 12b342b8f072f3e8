"""What predicts a clean latent from a noisy one."""
