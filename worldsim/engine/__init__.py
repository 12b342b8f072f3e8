"""One step of a world model: its past, what is recalled and read of it, and who computes the next frame."""
