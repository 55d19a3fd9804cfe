"""One question in both directions: what became of this, and what is this made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from nabi.conversations.erasure import REASONS
from nabi.errors import ConfigError
from nabi.registry.journal import LEARNED_PARTS
from nabi.registry.lineage import SampleTrace
from nabi.registry.version_names import is_version_name
from nabi.wiring import Platform


@dataclass(frozen=True)
class AdapterTrace:
    """An adapter on the way: what it was trained on, which run made it, and its part in the story.

    Args:
        role: champion, previous, or nothing.
        retire: why it should be retired; None when there is no reason to.
    """

    adapter: str
    persona_id: str
    dataset_version: str
    mlflow_run_id: str
    role: str
    retire: str | None


@dataclass(frozen=True)
class Trace:
    """Everything on the way from or to one thing.

    Args:
        kind: conversation, person, sample, dataset or adapter.
        facts: what is known of the thing itself.
        samples: the samples on the way (of a conversation, person or sample).
        datasets: version → part → how many samples of the way it holds.
        adapters: those trained on them.
        conversations: source → how many (of a dataset or adapter).
        conversation_ids: the conversations; for a dataset or adapter only when they were asked for.
    """

    kind: str
    id: str
    facts: dict[str, Any]
    adapters: list[AdapterTrace]
    datasets: dict[str, dict[str, int]] = field(default_factory=dict)
    samples: list[SampleTrace] = field(default_factory=list)
    conversations: dict[str, int] = field(default_factory=dict)
    conversation_ids: list[str] = field(default_factory=list)

    @property
    def live(self) -> list[str]:
        """Those of the adapters that answer people now."""
        return [adapter.adapter for adapter in self.adapters if adapter.role == "champion"]


def trace(platform: Platform, name: str, *, all_ids: bool = False) -> Trace:
    """What a name stands for, and all that is connected with it.

    Args:
        name: of a conversation, a sample, a dataset version (old names lead to the new ones) or an adapter version.
        all_ids: lists every conversation of a dataset or adapter.

    Raises:
        ConfigError: nothing has this name.
    """
    if is_version_name(name):
        return _of_adapter(platform, name, all_ids=all_ids)
    lineage = platform.lineage
    if samples := _held_by(platform, lineage.newest(name)):
        return _of_dataset(platform, name, samples, all_ids=all_ids)
    if samples := lineage.samples_named(name):
        return _forward(platform, "sample", name, samples, {})
    known = _conversation_facts(platform, name)
    samples = lineage.samples_of_conversations([name])
    if known is None and not samples:
        raise ConfigError(
            "nothing has this name.",
            where=name,
            fix="Give a conversation, a sample, a dataset version or an adapter version; a person with --user.",
        )
    return _forward(platform, "conversation", name, samples, known or {"source": "catalogue"})


def trace_person(platform: Platform, user_key: str) -> Trace:
    """All that came of a person's conversations, and the requests to forget them."""
    ids = platform.store.of_person(user_key)
    requests = [
        {"request": e.id, "kind": e.kind, "state": e.state, "at": e.requested_at.isoformat()}
        for e in platform.store.erasures.of_person(user_key)
    ]
    found = _forward(
        platform, "person", user_key, platform.lineage.samples_of_conversations(ids), {"requests": requests}
    )
    return Trace(**{**vars(found), "conversation_ids": ids, "conversations": platform.lineage.sources(ids)})


def _forward(platform: Platform, kind: str, name: str, samples: list[SampleTrace], facts: dict[str, Any]) -> Trace:
    datasets: dict[str, Counter[str]] = {}
    parts = platform.datasets.parts() if samples else {}
    for sample in samples:
        for version in _carriers(parts, sample):
            datasets.setdefault(version, Counter())[sample.part] += 1
    trained = {(sample.persona_id, sample.dataset_version) for sample in samples if sample.part in LEARNED_PARTS}
    return Trace(
        kind=kind,
        id=name,
        facts=facts,
        adapters=_adapters(platform, trained),
        datasets={version: dict(parts) for version, parts in datasets.items()},
        samples=samples,
    )


def _carriers(parts: Mapping[str, Mapping[str, str]], sample: SampleTrace) -> list[str]:
    """The versions that hold a sample: a version is the data of all personas, and is noted for one that made it."""
    own = parts.get(sample.dataset_version, {}).get(sample.persona_id)
    if own is None:
        return [sample.dataset_version]
    return sorted(version for version, held in parts.items() if held.get(sample.persona_id) == own)


def _held_by(platform: Platform, version: str) -> list[SampleTrace]:
    """The samples of all personas in a version, wherever each one's rows were first noted; nothing for another name."""
    parts = platform.datasets.parts() if version.endswith(".dir") else {}
    found: list[SampleTrace] = []
    for persona_id, own in parts.get(version, {}).items():
        same = sorted(other for other, held in parts.items() if held.get(persona_id) == own)
        rows = (platform.lineage.samples_in(other, persona_id) for other in same)
        found += next((samples for samples in rows if samples), [])
    return found


def _of_dataset(platform: Platform, name: str, samples: list[SampleTrace], *, all_ids: bool) -> Trace:
    version = platform.lineage.newest(name)
    facts: dict[str, Any] = {"personas": sorted({sample.persona_id for sample in samples})}
    if version != name:
        facts["written anew as"] = version
    if before := platform.lineage.ancestors(version):
        facts["takes the place of"] = before
    trained = {(sample.persona_id, version) for sample in samples}
    found = Trace(
        kind="dataset",
        id=name,
        facts=facts,
        adapters=_adapters(platform, trained),
        datasets={version: dict(Counter(sample.part for sample in samples))},
    )
    return _with_conversations(platform, found, samples, all_ids=all_ids)


def _of_adapter(platform: Platform, name: str, *, all_ids: bool) -> Trace:
    version = platform.registry.version(name)
    dataset = platform.lineage.newest(version.dataset_version)
    samples = platform.lineage.samples_in(dataset, version.persona_id)
    window = platform.lineage.adapter(name)
    facts = {
        "persona": version.persona_id,
        "digest": version.digest,
        "mlflow_run": version.run_id,
        "dataset": version.dataset_version,
        "window": window.as_of.isoformat() if window else None,
        "state": window.state if window else "not decided",
    }
    found = Trace(
        kind="adapter",
        id=name,
        facts=facts,
        adapters=_adapters(platform, {(version.persona_id, dataset)}, only=name),
        datasets={dataset: dict(Counter(sample.part for sample in samples))},
    )
    trained = [sample for sample in samples if sample.part in LEARNED_PARTS]
    return _with_conversations(platform, found, trained, all_ids=all_ids)


def _with_conversations(platform: Platform, found: Trace, samples: list[SampleTrace], *, all_ids: bool) -> Trace:
    ids = sorted({sample.conversation_id for sample in samples})
    counted = platform.lineage.sources(ids)
    return Trace(**{**vars(found), "samples": [], "conversations": counted, "conversation_ids": ids if all_ids else []})


def _adapters(platform: Platform, trained: Collection[tuple[str, str]], only: str | None = None) -> list[AdapterTrace]:
    """Every registered adapter trained on these (persona, dataset version), those of undecided windows included."""
    found = []
    for persona_id in sorted({persona_id for persona_id, _version in trained}):
        live = platform.ledger.live(persona_id)
        roles = {live.previous: "previous", live.champion: "champion"} if live else {}
        for version in platform.registry.versions(persona_id):
            dataset = platform.lineage.newest(version.dataset_version)
            if (persona_id, dataset) in trained and only in (None, version.name):
                found.append(
                    AdapterTrace(
                        adapter=version.name,
                        persona_id=persona_id,
                        dataset_version=dataset,
                        mlflow_run_id=version.run_id,
                        role=roles.get(version.name, ""),
                        retire=version.retire,
                    )
                )
    return found


def _conversation_facts(platform: Platform, conversation_id: str) -> dict[str, Any] | None:
    asked = platform.store.erasures.of_conversation(conversation_id)
    held = platform.store.get(conversation_id)
    if asked is not None and (asked.state != "pending" or held is None):
        return {"state": REASONS[asked.kind], "request": asked.id}
    if held is None:
        return None
    apart = [item for item in platform.store.set_apart_of(conversation_id) if item.decision != "released"]
    return {
        "persona": held.persona_id,
        "source": held.source,
        "occurred_at": held.occurred_at.isoformat(),
        "state": f"to be {REASONS[asked.kind]}" if asked else "held",
        "set apart": [item.reason for item in apart],
        "answered by": held.adapter_version,
    }
