"""Tokens that a test makes itself: with the form and the checksum of real ones."""

from hashlib import sha256

from waylight.domain import tokens
from waylight.vault import TOKEN_PREFIXES


def token(kind: str, seed: object) -> str:
    """The token of a kind that a seed always makes; nobody has it unless the test stores it."""
    return tokens.make(TOKEN_PREFIXES[kind], sha256(str(seed).encode()).digest())
