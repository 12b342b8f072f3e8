"""The dream: everything needed to run a trained world model."""
