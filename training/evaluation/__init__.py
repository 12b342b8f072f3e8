"""Dreams of recorded episodes in lockstep, and what is measured of them."""
