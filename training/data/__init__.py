"""What generators are trained on: walks played, encoded and kept as memory-mapped arrays."""
