"""What a test of somebody else's world model needs."""

from worldsim.testing.dreams import DreamContractError, dream_contract

__all__ = ["DreamContractError", "dream_contract"]
