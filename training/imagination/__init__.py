"""What a dream imagines where nobody has seen: roamed by its own eyes and scored against other true worlds."""
