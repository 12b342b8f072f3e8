"""A seeded fuzzer of all that this project reads: what it mutates, the doors, what it watches."""
