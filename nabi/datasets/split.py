"""Which part of a dataset a conversation belongs to, for ever: a hash decides, never the order or the others."""

from __future__ import annotations

import hashlib
from typing import Literal

Part = Literal["train", "holdout"]

_SPACE = 2**64


def place_of(conversation_id: str, salt: str) -> int:
    """A stable pseudo-random place in [0, 2**64): the same on every machine and in every run."""
    digest = hashlib.sha256(f"{salt}\x00{conversation_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def part_of(conversation_id: str, holdout_share: float, salt: str) -> Part:
    """The part of a conversation.

    Monotone in the share: a larger share only moves conversations from train to holdout, so that what was
    held out once stays held out.

    Args:
        conversation_id: never a sample's id, so that all samples of a conversation stay together.
        holdout_share: in [0, 1].
        salt: sets splits of different personas apart.
    """
    return "holdout" if drawn(conversation_id, holdout_share, salt) else "train"


def drawn(conversation_id: str, share: float, salt: str) -> bool:
    """Whether a conversation is among this share of all; another salt draws others."""
    return place_of(conversation_id, salt) < share * _SPACE
