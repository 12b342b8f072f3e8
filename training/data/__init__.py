"""What is trained on: recorded episodes as latents and clips, views that come back, dreams beside the truth, walks."""
