"""The base's own tokenizer: byte-level BPE in which every common syllable and emoji is one token.

Built in three layers of merges: first the bytes of each covered character, so that no common character can
come out as broken bytes; then frequent words learnt from the training text, inside words only; last, a space
in front of frequent words. Because a space never fuses with a single syllable, a name is cut the same way in a
fact, in a question and in an answer, which makes copying easy to learn.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE

from nabi.training.tiny_base import corpus_words as words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (PAD, START, END)
VOCABULARY = 5120
SPACED_WORDS = 400

# Qwen2's pattern, so that GGUF readers which know `qwen2` cut the text in the same places.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}"
    "{%- else -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

_SYLLABLES = re.compile("[가-힣]{2,}")
_SENTENCE_END = re.compile("(니다|니까|시오|어요|아요|해요|예요|세요)$")

Merge = tuple[str, str]

# Particles and copulas after a noun stay tokens of their own: a name is then cut alike with and without them.
_ENDING = re.compile(
    r"(?<=[^\W\d_])(은|는|이|가|을|를|의|과|와|에|로|으로|도|에서|에는|이나|나|이랑|랑|이라|요|이요|이고|고|이며|며"
    r"|이에요|예요|이야|야|입니다|입니까|인가요|인|이네요|네요|이라고|라고)$"
)


def covered_characters() -> list[str]:
    """Characters that are one token each, whatever the training text holds."""
    emoji = "".join(words.EMOJI)
    return list(dict.fromkeys([*words.SYLLABLES, *words.EXTRA_SYLLABLES, *words.JAMO, *words.SYMBOLS, *emoji]))


def byte_alphabet() -> dict[int, str]:
    """The printable stand-in for each byte, as all byte-level BPE tokenizers since GPT-2 use it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    hidden = [byte for byte in range(256) if byte not in table]
    return table | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


_ALPHABET = byte_alphabet()
SPACE = _ALPHABET[ord(" ")]


def _as_bytes(text: str) -> str:
    return "".join(_ALPHABET[byte] for byte in text.encode())


def _character_merges(characters: Iterable[str]) -> list[Merge]:
    merges: dict[Merge, None] = {}
    for character in characters:
        symbols = _as_bytes(character)
        for end in range(1, len(symbols)):
            merges[symbols[:end], symbols[end]] = None
    return list(merges)


def _count_words(texts: Iterable[str], characters: set[str]) -> Counter[str]:
    usable = characters | {chr(code) for code in range(128)}
    counts: Counter[str] = Counter()
    for text in texts:
        for word in re.findall(r"[^\W\d_]+", text):
            if usable.issuperset(word):
                counts.update(part for part in _ENDING.split(word) if part)
    return counts


def _word_merges(counts: Counter[str], num: int) -> list[Merge]:
    """Merges inside words, learnt on whole characters and written in bytes."""
    learner = Tokenizer(BPE())
    alphabet = sorted({character for word in counts for character in word})
    trainer = trainers.BpeTrainer(  # type: ignore[no-untyped-call, unused-ignore]
        vocab_size=len(alphabet) + num, initial_alphabet=alphabet, show_progress=False, min_frequency=20
    )
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    learner.train_from_iterator((" ".join([word] * count) for word, count in ordered), trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(_as_bytes(left), _as_bytes(right)) for left, right in merges]


def _space_merges(texts: Iterable[str], pieces: set[str], num: int) -> list[Merge]:
    """A space before the most frequent pieces of two or more characters that open a word."""
    openings: Counter[str] = Counter()
    for text in texts:
        openings.update(re.findall(r"(?<= )[^\W\d_]{2,}", text))
    starts: Counter[str] = Counter()
    for word, count in openings.items():
        longest = next((word[:end] for end in range(len(word), 1, -1) if _as_bytes(word[:end]) in pieces), "")
        starts[longest] += count
    del starts[""]
    ranked = sorted(starts.items(), key=lambda pair: (-pair[1], pair[0]))[:num]
    return [(SPACE, SPACE), (SPACE, "|"), *((SPACE, _as_bytes(piece)) for piece, _ in ranked)]


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A tokenizer of at most `VOCABULARY` tokens for these texts and all covered characters."""
    characters = covered_characters()
    base = _character_merges(characters)
    fixed = len(_ALPHABET) + len(base) + len(SPECIALS) + SPACED_WORDS + 2
    counts = _count_words(texts, set(characters))
    merges = base + _word_merges(counts, VOCABULARY - fixed)
    pieces = {left + right for left, right in merges}
    merges += _space_merges(texts, pieces, SPACED_WORDS)
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *_ALPHABET.values()])}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment, unused-ignore]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment, unused-ignore]
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment, unused-ignore]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def word_pieces(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The words of two or more syllables that are one token, but for what ends a sentence."""
    words_ = {tokenizer.decode([token]).strip() for token in range(tokenizer.get_vocab_size())}
    return tuple(sorted(word for word in words_ if _SYLLABLES.fullmatch(word) and not _SENTENCE_END.search(word)))


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> PreTrainedTokenizerFast:
    """Write the tokenizer's files with its chat template, and return it as transformers reads it."""
    from transformers import PreTrainedTokenizerFast

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.save_pretrained(folder)
    return wrapped
