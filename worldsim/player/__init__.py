"""The window: pygame lives here and nowhere else; it draws ticks and knows no torch."""
