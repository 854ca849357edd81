"""Passwords: how they are made, kept (scrypt, RFC 7914) and compared. Each call takes a third of a second."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

SHORTEST = 12  # characters of one that a person chooses
LONGEST = 1024
COST, BLOCK, LANES = 2**15, 8, 1  # 32 MB
MEMORY = 64 * 2**20
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read for something else


def made() -> str:
    """A new one that can be typed: 20 characters in groups of five, about 99 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


def hashed(word: str) -> str:
    """What is kept of it: the costs, the salt and the key, so that costs can grow later."""
    salt = secrets.token_bytes(16)
    key = _key(word, salt, COST, BLOCK, LANES)
    return f"scrypt${COST}${BLOCK}${LANES}${_text(salt)}${_text(key)}"


def fits(word: str, kept: str) -> bool:
    """Whether it is the password; takes as long when it is not."""
    try:
        kind, cost, block, lanes, salt, key = kept.split("$")
    except ValueError:  # no password was ever set
        return False
    found = _key(word[:LONGEST], base64.b64decode(salt), int(cost), int(block), int(lanes))
    return kind == "scrypt" and len(word) <= LONGEST and hmac.compare_digest(found, base64.b64decode(key))


def _key(word: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    data = word.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=cost, r=block, p=lanes, maxmem=MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
