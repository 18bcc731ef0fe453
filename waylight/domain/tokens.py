"""What a token looks like: a prefix, 256 random bits and a checksum, in letters and digits alone.

A scanner that finds one in a leak knows whose it is by the prefix, and by the checksum that it is
no accident; our own door refuses a mistyped one without asking the database.
"""

import re
import string
from zlib import crc32

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECKSUM = 43, 6
"""Base-62 digits: of 256 bits, and of the CRC-32 of everything before them."""

PATTERN = rf"waylight_[a-z]{{2}}_[0-9A-Za-z]{{{RANDOM + CHECKSUM}}}"
"""Every token of Waylight, for scanners of leaked secrets (SECURITY.md)."""

_TOKEN = re.compile(PATTERN, re.ASCII)


def make(prefix: str, random: bytes) -> str:
    """The token of 32 random bytes."""
    body = prefix + _digits(int.from_bytes(random), RANDOM)
    return body + _checksum(body)


def is_token(text: str, *prefixes: str) -> bool:
    """Whether this can be a token with one of these prefixes, or of any kind without prefixes."""
    if not _TOKEN.fullmatch(text) or not text.startswith(prefixes or "waylight_"):
        return False
    return _checksum(text[:-CHECKSUM]) == text[-CHECKSUM:]


def _checksum(text: str) -> str:
    return _digits(crc32(text.encode()), CHECKSUM)


def _digits(number: int, count: int) -> str:
    found = ""
    for _ in range(count):
        number, digit = divmod(number, len(DIGITS))
        found = DIGITS[digit] + found
    return found
