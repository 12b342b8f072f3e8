"""Other people's networks, rebuilt in torch, and where their weights come from."""
