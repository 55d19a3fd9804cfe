"""Fingerprints of conversations, from which no text can be read back: MinHash signatures and digests.

What is compared is letters and digits alone, in runs of four. A question's runs weigh three times those of the answer
and the facts: two questions about one dish ("닭고기도 들어가요?", "새우도 들어가요?") share almost everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
import rensa
from numpy.typing import NDArray

from nabi.conversations.records import Conversation
from nabi.datasets.samples import Sample

NUM_HASHES = 60
"""Standard error of the similarity: 0.065 at most, and 0.05 around 0.8."""

QUESTION_WEIGHT = 3
MAX_CHARS = 4_000
"""Of each conversation: what is the same for so long is the same."""

_SEED = 20260701
_GRAM = 4
_STOP = 1
"""Stands behind every text, so that no run goes on into the next one."""

Signatures = NDArray[np.uint32]
Digests = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """One row a conversation: `signatures` (n × NUM_HASHES) for likeness, `digests` (n) equal for equal texts."""

    signatures: Signatures
    digests: Digests


def fingerprints(conversations: Sequence[Conversation | Sample]) -> Fingerprints:
    """Of complete conversations, all turns and facts included."""
    parts = [part for conversation in conversations for part in _parts(conversation)]
    tokens, lengths = _tokens(parts)
    weights = np.tile(np.array([QUESTION_WEIGHT, 1]), len(conversations))
    repeated = np.repeat(tokens, np.repeat(weights, lengths))
    # The copies of a question's run differ by their number, or a set would hold them once.
    repeated += _copy_numbers(np.repeat(weights, lengths)) * np.uint64(0xD6E8FEB86659FD93)
    ends = np.cumsum((lengths * weights).reshape(-1, 2).sum(axis=1))
    offsets = np.concatenate(([0], ends))
    return Fingerprints(min_hashes(repeated, offsets, NUM_HASHES), _digests(tokens, lengths))


def answer_signatures(conversations: Sequence[Conversation], num_hashes: int) -> Signatures:
    """MinHash signatures of the last answers alone (n × num_hashes)."""
    tokens, lengths = _tokens([conversation.messages[-1].content[:MAX_CHARS] for conversation in conversations])
    return min_hashes(tokens, np.concatenate(([0], np.cumsum(lengths))), num_hashes)


def min_hashes(tokens: NDArray[np.uint64], offsets: NDArray[np.int64], num_hashes: int) -> Signatures:
    """MinHash by rensa; row i is made of `tokens[offsets[i]:offsets[i + 1]]`."""
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        np.ascontiguousarray(tokens), offsets.astype(np.uint64), num_hashes, _SEED
    )
    values = np.fromiter(chain.from_iterable(matrix.to_rows()), dtype=np.uint32, count=(len(offsets) - 1) * num_hashes)
    return values.reshape(-1, num_hashes)


def band_keys(signatures: Signatures, num_bands: int) -> Digests:
    """One key for each band of a signature (n × num_bands): equal where the whole band is equal."""
    num_rows, num_hashes = signatures.shape
    bands = signatures.reshape(num_rows, num_bands, num_hashes // num_bands).astype(np.uint64)
    keys = np.zeros((num_rows, num_bands), dtype=np.uint64)
    for place in range(bands.shape[2]):
        keys = mix(keys ^ bands[:, :, place])
    return keys


def mix(values: Digests) -> Digests:
    """Spreads 64 bits evenly (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def gram_hashes(codes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """A hash of the `size` characters that start at each place (the last places wrap around)."""
    hashes = codes * np.uint64(0x9E3779B97F4A7C15)
    for place in range(1, size):
        hashes ^= hashes >> np.uint64(29)
        hashes[:-place] ^= codes[place:]
        hashes[-place:] ^= codes[:place]
        hashes *= np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(32)
    return hashes


def _parts(conversation: Conversation | Sample) -> tuple[str, str]:
    """The question, and everything else."""
    *before, question, answer = conversation.messages
    shown = (value for fact in conversation.facts for value in fact.values())
    said = (message.content for message in before if message.role != "system")
    rest = "\n".join([answer.content, *said, *shown])
    return question.content[:MAX_CHARS], rest[:MAX_CHARS]


def _tokens(texts: Iterable[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the runs of four letters or digits of each text, one text after the other, and how many each has."""
    stop = chr(_STOP) * (_GRAM - 1)
    closed = [text + stop for text in texts]
    codes = np.frombuffer("".join(closed).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    folded = folding()[np.minimum(codes, 0xFFFF)]
    owner = np.repeat(np.arange(len(closed)), [len(text) for text in closed])[folded != 0]
    folded = folded[folded != 0].astype(np.uint64)
    tokens = gram_hashes(folded, _GRAM)
    # Runs that lie within a text, and the first one of a text that is shorter than a run.
    within = np.roll(folded, 1 - _GRAM) != _STOP
    starts = (folded != _STOP) & (within | (np.roll(folded, 1) == _STOP))
    return tokens[starts], np.bincount(owner[starts], minlength=len(closed))


def _copy_numbers(weights: NDArray[np.int64]) -> NDArray[np.uint64]:
    """0, 1, 2, 0, 1, 2, 0, 0 for weights 3, 3, 1, 1."""
    firsts = np.cumsum(weights) - weights
    numbers: NDArray[np.int64] = np.arange(weights.sum()) - np.repeat(firsts, weights)
    return numbers.astype(np.uint64)


def _digests(tokens: NDArray[np.uint64], lengths: NDArray[np.int64]) -> Digests:
    """Question and rest, each as the sum of its mixed runs: only the same runs as often give the same digest."""
    sums = np.zeros(len(tokens) + 1, dtype=np.uint64)
    np.cumsum(mix(tokens), out=sums[1:])
    ends = np.cumsum(lengths)
    parts = (sums[ends] - sums[ends - lengths]).reshape(-1, 2)
    return mix(mix(parts[:, 0] + np.uint64(1)) ^ parts[:, 1])


@cache
def folding() -> NDArray[np.uint16]:
    """By code of the basic plane: small letters and digits as themselves, all else as 0; the stop stays."""
    table = np.zeros(0x10000, dtype=np.uint16)
    for code in range(0x10000):
        char = chr(code)
        if char.isalnum():
            small = char.lower()
            table[code] = ord(small) if len(small) == 1 and ord(small) < 0x10000 else code
    table[_STOP] = _STOP
    return table
