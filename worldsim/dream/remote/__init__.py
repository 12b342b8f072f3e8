"""A dream on another machine: a predictor here, what imagines there, a versioned socket between (docs/remote.md)."""
