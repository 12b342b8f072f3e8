"""One command from nothing to a dream that plays: every stage of training with its share of the time."""
