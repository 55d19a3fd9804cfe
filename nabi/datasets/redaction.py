"""A dataset's files without some conversations: the other rows stay byte by byte, the card is counted anew."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping

from pydantic import ValidationError

from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.card import PREFERENCES_PART, DatasetCard, describe_part, render_card
from nabi.datasets.samples import Sample
from nabi.datasets.snapshot import CARD, CARD_PAGE, PREFERENCES, digest_of

LEFT_OUT = "deleted on request"

# Quotes inside a JSON string are escaped, so this finds the field and never its likeness in somebody's words.
_CONVERSATION_ID = re.compile(rb'"conversation_id"\s*:\s*("(?:[^"\\]|\\.)*")')


def rows_of(content: bytes, conversation_ids: Collection[str]) -> Iterator[bytes]:
    """The lines of a sample file that came from these conversations; none for a file of another kind."""
    for line in content.split(b"\n"):
        found = _CONVERSATION_ID.search(line)
        if found and json.loads(found[1]) in conversation_ids:
            yield line


def holds_any(content: bytes, conversation_ids: Collection[str]) -> bool:
    """Whether a file holds a row of these conversations."""
    return any(True for _row in rows_of(content, conversation_ids))


def without(files: Mapping[str, bytes], conversation_ids: Collection[str]) -> dict[str, bytes]:
    """The files of one persona's dataset (name → bytes) without these conversations.

    Equal files and ids give equal bytes, so that an interrupted rewriting can be repeated. A card that cannot be read
    is left out rather than left wrong.
    """
    gone = {name: list(rows_of(content, conversation_ids)) for name, content in files.items()}
    if not any(gone.values()):
        return dict(files)
    left = {name: _drop(content, gone[name]) for name, content in files.items()}
    left.pop(CARD_PAGE, None)
    try:
        card = _recounted(DatasetCard.model_validate_json(left.pop(CARD, b"")), left, gone)
    except ValidationError:
        return left
    left[CARD] = card.model_dump_json(indent=2).encode() + b"\n"
    left[CARD_PAGE] = render_card(card).encode()
    return left


def _drop(content: bytes, rows: list[bytes]) -> bytes:
    if not rows:
        return content
    unwanted = set(rows)
    return b"\n".join(line for line in content.split(b"\n") if line not in unwanted)


def _recounted(card: DatasetCard, files: Mapping[str, bytes], gone: Mapping[str, list[bytes]]) -> DatasetCard:
    """The card after the rows are gone. `num_new` becomes an upper bound: train does not say which rows were."""
    content = {f"{name}.jsonl": files.get(f"{name}.jsonl", b"") for name in card.parts}
    samples = {name: _samples(name, content[f"{name}.jsonl"]) for name in card.parts}
    total = sum(map(len, samples.values()))
    num_gone = sum(map(len, gone.values()))
    counted = [row for name, rows in gone.items() if name != PREFERENCES for row in rows]
    num_logged = card.num_logged - sum(json.loads(row).get("source") != "bootstrap" for row in counted)
    shares = {name: round(len(part) / max(total, 1), 6) for name, part in samples.items()}
    return card.model_copy(
        update={
            "digest": digest_of(content),
            "num_logged": num_logged,
            "num_new": min(card.num_new, num_logged),
            "shares": shares | {"bootstrap": round(card.num_bootstrap / max(len(samples["train"]), 1), 6)},
            "left_out": card.left_out | {LEFT_OUT: card.left_out.get(LEFT_OUT, 0) + num_gone},
            "parts": {
                name: describe_part(part, hashlib.sha256(content[f"{name}.jsonl"]).hexdigest())
                for name, part in samples.items()
            },
            "balance": None,  # counted with what was deleted
            "advice": (),
        }
    )


def _samples(part: str, content: bytes) -> list[Sample]:
    kind = BadAnswer if part == PREFERENCES_PART else Sample
    return [kind.model_validate_json(line) for line in content.split(b"\n") if line]
