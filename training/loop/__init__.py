"""How training runs: its beginning, its loop, its state on disk, and what it leaves behind."""
