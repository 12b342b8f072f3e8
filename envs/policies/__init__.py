"""Who plays: policies, the moves that they make, and the ways that they find."""
