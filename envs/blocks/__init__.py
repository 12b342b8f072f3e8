"""A small deterministic world of blocks: terrain, landmarks, first-person physics, pictures."""
