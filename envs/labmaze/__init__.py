"""A DMLab-like maze, bit for bit determined by seed and actions."""
