"""A dataset version on disk: what is learned, what is held out, and the anchors that never change.

`datasets/<persona>/` holds `train.jsonl`, `holdout.jsonl`, `anchors.jsonl`, `card.json` and `card.md`. The same
conversations and the same anchors give the same bytes. Where answers were marked bad, `preferences.jsonl` holds them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nabi.conversations.records import Conversation
from nabi.datasets.advice import advise, describe_balance
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.card import PREFERENCES_PART, DatasetCard, describe_part, render_card
from nabi.datasets.files import read_samples, recover_folder, replace_folder, write_lines
from nabi.datasets.overlap import ensure_apart, text_key
from nabi.datasets.samples import Sample, sample_from
from nabi.datasets.split import part_of, place_of
from nabi.errors import DataError
from nabi.personas.model import Persona

TRAIN, HOLDOUT, ANCHORS, CARD, CARD_PAGE = "train.jsonl", "holdout.jsonl", "anchors.jsonl", "card.json", "card.md"
PREFERENCES = f"{PREFERENCES_PART}.jsonl"

MIN_LOGGED_ANCHORS = 10
"""Anchors are frozen out of logs only once this many are held out: a handful would bind a persona for ever."""


@dataclass(frozen=True)
class Snapshot:
    """A dataset version that lies on disk."""

    folder: Path
    card: DatasetCard

    @property
    def train_file(self) -> Path:
        return self.folder / TRAIN

    @property
    def holdout_file(self) -> Path:
        """Held-out samples of the logs; `is_new` marks those of the newest conversations."""
        return self.folder / HOLDOUT

    @property
    def anchors_file(self) -> Path:
        return self.folder / ANCHORS

    @property
    def preferences_file(self) -> Path:
        """Bad answers (`BadAnswer`); no such file where there are none."""
        return self.folder / PREFERENCES

    @property
    def digest(self) -> str:
        """sha256 over the sample files."""
        return self.card.digest

    @property
    def num_train(self) -> int:
        return self.card.parts["train"].samples

    @property
    def num_holdout(self) -> int:
        return self.card.parts["holdout"].samples

    @property
    def num_anchors(self) -> int:
        return self.card.parts["anchors"].samples

    @property
    def num_bad(self) -> int:
        """Answers marked bad."""
        part = self.card.parts.get(PREFERENCES_PART)
        return part.samples if part else 0

    @property
    def num_corrected(self) -> int:
        """Those of them with a better answer."""
        part = self.card.parts.get(PREFERENCES_PART)
        return (part.corrected or 0) if part else 0

    @property
    def num_bootstrap(self) -> int:
        """Catalogue dialogues in train."""
        return self.card.num_bootstrap

    @property
    def num_new(self) -> int:
        """New conversations, in whatever part."""
        return self.card.num_new


@dataclass(frozen=True)
class _Parts:
    train: list[Sample]
    holdout: list[Sample]
    left_out: dict[str, int]


def bootstrap_needed(num_logged: int, target: int) -> int:
    """How many catalogue dialogues fill the logs up to `target`."""
    return max(0, target - num_logged)


def build_snapshot(
    persona: Persona,
    learned: Sequence[Conversation],
    new: Sequence[Conversation],
    bootstrap: Sequence[Conversation],
    datasets_dir: Path,
    *,
    bad: Sequence[BadAnswer] = (),
) -> Snapshot:
    """Writes the persona's dataset to `datasets_dir / persona.id`, in place of the one before.

    A conversation's part follows from its id alone. A text belongs to the part of its first conversation; a
    later copy in another part is left out and counted.

    Args:
        persona: its `evaluation` gives share and number of the held-out, its `bootstrap` the target.
        learned: kept conversations that a deployed adapter has already learned from.
        new: kept conversations since then.
        bootstrap: catalogue dialogues to choose from, always the same ones: first the anchors are taken from
            them (once, when there is no anchors file), then as many as the logs lack. So give at least
            `evaluation.anchors` more than the logs lack.
        datasets_dir: the folder of all datasets. The caller holds the lock on it.
        bad: answers that must not be given again. Those of a held-out conversation are left out and counted, and so
            are those whose words another part holds.

    Raises:
        DataError: a conversation of another persona or without an answer, an id that stands twice, too few
            catalogue dialogues for the anchors, or nothing left to train on.
    """
    folder = datasets_dir / persona.id
    recover_folder(folder)
    logs = _samples(persona, [*learned, *new])
    pool = _samples(persona, bootstrap)
    _ensure_unique([*logs, *pool])
    frozen = _frozen_anchors(folder / ANCHORS)
    anchors = _read_anchors(persona, folder / ANCHORS) if frozen else _choose_anchors(persona, logs, pool)
    parts = _divide(persona, logs, anchors, new_ids={conversation.conversation_id for conversation in new})
    chosen = _fill_up(persona, pool, [*anchors, *parts.holdout], num_logged=len(logs))
    train = [*parts.train, *chosen]
    _ensure_some(train, persona)
    held_out = [*parts.holdout, *anchors]
    marked, bad_left_out = _usable_bad(persona, bad, train, held_out)
    ensure_apart([*train, *marked, *_corrected(marked)], held_out)
    samples = {"train": train, "holdout": parts.holdout, "anchors": anchors}
    content = {TRAIN: write_lines(train), HOLDOUT: write_lines(parts.holdout), ANCHORS: frozen or write_lines(anchors)}
    if marked:
        samples[PREFERENCES_PART], content[PREFERENCES] = [*marked], write_lines(marked)
    left_out = dict(sorted((parts.left_out | bad_left_out).items()))
    card = _make_card(persona, samples, content, left_out, (len(logs), len(new), len(chosen)))
    tags = {item.conversation_id: item.style_tags for item in (*learned, *new) if item.style_tags}
    balance = describe_balance([*train, *parts.holdout], tags, persona)
    card = card.model_copy(update={"balance": balance, "advice": advise(balance, persona)})
    pages = {CARD: card.model_dump_json(indent=2).encode() + b"\n", CARD_PAGE: render_card(card).encode()}
    replace_folder(folder, content | pages)
    return Snapshot(folder, card)


def load_snapshot(folder: Path) -> Snapshot:
    """The dataset that lies in `datasets/<persona>`, after a check of its files against its card.

    Raises:
        DataError: no card, a broken one, or files that are not those it describes.
    """
    recover_folder(folder)
    try:
        card = DatasetCard.model_validate_json((folder / CARD).read_bytes())
        digest = digest_of({name: (folder / name).read_bytes() for name in (f"{part}.jsonl" for part in card.parts)})
    except FileNotFoundError as error:
        raise DataError(
            "there is no whole dataset here.", where=str(folder), fix="Build it, or check a version out with DVC."
        ) from error
    except ValidationError as error:
        raise DataError(
            "the dataset card cannot be read.", where=str(folder / CARD), fix="Check the version out again with DVC."
        ) from error
    if digest != card.digest:
        raise DataError(
            f"the files (digest {digest[:12]}) are not those of the card ({card.digest[:12]}).",
            where=str(folder),
            fix="Check the version out again with DVC.",
        )
    return Snapshot(folder, card)


def _samples(persona: Persona, conversations: Iterable[Conversation]) -> list[Sample]:
    samples = []
    for conversation in conversations:
        where = f"conversation {conversation.conversation_id}"
        if conversation.persona_id != persona.id:
            raise DataError(
                f"belongs to {conversation.persona_id!r}, not to {persona.id!r}.",
                where=where,
                fix="Personas never learn from each other: collect by persona.",
            )
        if len(conversation.messages) < 2 or conversation.messages[-1].role != "assistant":
            raise DataError(
                "does not end with an answer to learn.", where=where, fix="Curate conversations before the snapshot."
            )
        samples.append(sample_from(conversation))
    return sorted(samples, key=lambda sample: (sample.occurred_at, sample.conversation_id))


def _ensure_unique(samples: Sequence[Sample]) -> None:
    counts = Counter(sample.conversation_id for sample in samples)
    twice = [conversation_id for conversation_id, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} conversations stand twice, first {twice[0]}.",
            fix="Pass each one once: as learned, as new or as bootstrap.",
        )


def _ensure_some(train: Sequence[Sample], persona: Persona) -> None:
    if not train:
        raise DataError(
            f"nothing is left to train {persona.id} on.",
            fix="Collect more conversations, or give the persona a catalogue to start from.",
        )


def _frozen_anchors(path: Path) -> bytes:
    """Bytes of the anchors so far; an empty file is one that still waits for enough held-out samples."""
    return path.read_bytes() if path.exists() else b""


def _read_anchors(persona: Persona, path: Path) -> list[Sample]:
    anchors = read_samples(path)
    if any(sample.persona_id != persona.id for sample in anchors):
        raise DataError(
            f"holds samples of another persona than {persona.id}.",
            where=str(path),
            fix="Check the version out again with DVC.",
        )
    return anchors


def _choose_anchors(persona: Persona, logs: Sequence[Sample], pool: Sequence[Sample]) -> list[Sample]:
    """The first anchors: of the catalogue where there is one, else of what the logs hold out."""
    wanted = persona.evaluation.anchors
    if pool or persona.bootstrap:
        distinct = _distinct(_by_place(pool, "anchors"))
        if len(distinct) < wanted:
            raise DataError(
                f"{wanted} anchors are wanted, but the catalogue gives only {len(distinct)} different dialogues.",
                where=f"dataset of {persona.id}",
                fix="Make more dialogues, or lower evaluation.anchors of the persona.",
            )
        return distinct[:wanted]
    share = persona.evaluation.holdout_share
    held = [sample for sample in logs if part_of(sample.conversation_id, share, persona.id) == "holdout"]
    distinct = _distinct(_by_place(held, "anchors"))
    return distinct[:wanted] if len(distinct) >= MIN_LOGGED_ANCHORS else []


def _divide(persona: Persona, logs: Sequence[Sample], anchors: Sequence[Sample], new_ids: set[str]) -> _Parts:
    """The logs, oldest first, into train and holdout; texts that another part already has are left out."""
    parts: dict[str, list[Sample]] = {"train": [], "holdout": []}
    owners = {text_key(sample): "anchors" for sample in anchors}
    anchored = {sample.conversation_id for sample in anchors}
    left_out: Counter[str] = Counter()
    for sample in logs:
        if sample.conversation_id in anchored:
            continue
        part = part_of(sample.conversation_id, persona.evaluation.holdout_share, persona.id)
        owner = owners.setdefault(text_key(sample), part)
        if owner != part:
            left_out[f"{part} sample with a text of {owner}"] += 1
            continue
        is_new = part == "holdout" and sample.conversation_id in new_ids
        parts[part].append(sample.model_copy(update={"is_new": True}) if is_new else sample)
    return _Parts(parts["train"], parts["holdout"], dict(sorted(left_out.items())))


def _usable_bad(
    persona: Persona, bad: Iterable[BadAnswer], train: Iterable[Sample], held_out: Sequence[Sample]
) -> tuple[list[BadAnswer], dict[str, int]]:
    """The bad answers that touch nothing held out and speak against nothing that is learned; others by reason."""
    held_ids = {sample.conversation_id for sample in held_out}
    held_texts = {text_key(sample) for sample in held_out}
    learned = {text_key(sample) for sample in train}
    usable: list[BadAnswer] = []
    left_out: Counter[str] = Counter()
    seen: set[tuple[str, str, str]] = set()
    # Those with a better answer first: they say more than a copy without one.
    for answer in sorted(bad, key=lambda item: (item.better is None, item.occurred_at, item.sample_id)):
        better = answer.corrected()
        part = part_of(answer.conversation_id, persona.evaluation.holdout_share, persona.id)
        if part == "holdout" or answer.conversation_id in held_ids:
            left_out["bad answer of a held-out conversation"] += 1
        elif text_key(answer) in held_texts or (better and text_key(better) in held_texts):
            left_out["bad answer with a text that is held out"] += 1
        elif text_key(answer) in learned:
            left_out["bad answer with a text of train"] += 1
        elif text_key(answer) in seen:
            left_out["bad answer that stands twice"] += 1
        else:
            seen.add(text_key(answer))
            usable.append(answer)
    return usable, dict(left_out)


def _corrected(bad: Iterable[BadAnswer]) -> list[Sample]:
    return [better for better in (answer.corrected() for answer in bad) if better is not None]


def _fill_up(persona: Persona, pool: Sequence[Sample], held_out: Sequence[Sample], *, num_logged: int) -> list[Sample]:
    """As many catalogue dialogues as the logs lack, none of them held out: fewer later are a part of more earlier."""
    conversations = {sample.conversation_id for sample in held_out}
    texts = {text_key(sample) for sample in held_out}
    free = [s for s in pool if s.conversation_id not in conversations and text_key(s) not in texts]
    needed = bootstrap_needed(num_logged, persona.bootstrap.target) if persona.bootstrap else len(free)
    return _by_place(free, "bootstrap")[:needed]


def _by_place(samples: Iterable[Sample], salt: str) -> list[Sample]:
    """In a stable pseudo-random order."""
    return sorted(samples, key=lambda sample: (place_of(sample.conversation_id, salt), sample.conversation_id))


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    """The first of each text."""
    firsts: dict[tuple[str, str, str], Sample] = {}
    for sample in samples:
        firsts.setdefault(text_key(sample), sample)
    return list(firsts.values())


def _make_card(
    persona: Persona,
    samples: Mapping[str, Sequence[Sample]],
    content: Mapping[str, bytes],
    left_out: dict[str, int],
    counts: tuple[int, int, int],
) -> DatasetCard:
    total = sum(map(len, samples.values()))
    num_logged, num_new, num_bootstrap = counts
    shares = {name: round(len(part) / total, 6) for name, part in samples.items()}
    return DatasetCard(
        persona_id=persona.id,
        digest=digest_of(content),
        num_logged=num_logged,
        num_new=num_new,
        num_bootstrap=num_bootstrap,
        shares=shares | {"bootstrap": round(num_bootstrap / len(samples["train"]), 6)},
        left_out=left_out,
        parts={name: describe_part(part, _sha256(content[f"{name}.jsonl"])) for name, part in samples.items()},
    )


def digest_of(content: Mapping[str, bytes]) -> str:
    """One digest over the files: sha256 of the `sha256sum` listing of them, sorted by name."""
    return _sha256("".join(f"{_sha256(content[name])}  {name}\n" for name in sorted(content)).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
