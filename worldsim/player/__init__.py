"""The window: pygame lives here and nowhere else; it draws ticks and knows no torch."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # its greeting has no place in a report's output
