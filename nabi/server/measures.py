"""What the server measures, in Prometheus' terms: by persona and by who answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nabi.repeating import Repeating
from nabi.server.hosting import Hosting
from nabi.serving.batching import Answer, BatchEngine
from nabi.serving.routing import Route

_WHO = ("persona", "version")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
_CHARS = (5, 10, 20, 40, 80, 160, 320, 640, 1280)


class Measures:
    """Counters of one server process; a registry of its own, so that several live in one process."""

    def __init__(self, hosting: Hosting) -> None:
        registry = self._registry = CollectorRegistry()
        self._answers = Counter("nabi_answers", "answers given", (*_WHO, "ended"), registry=registry)
        self._seconds = Histogram("nabi_answer_seconds", "until complete", _WHO, buckets=_SECONDS, registry=registry)
        self._first = Histogram(
            "nabi_first_token_seconds", "until the first token", _WHO, buckets=_SECONDS, registry=registry
        )
        self._chars = Histogram("nabi_answer_chars", "length", _WHO, buckets=_CHARS, registry=registry)
        self._tokens = Counter("nabi_tokens", "tokens read and written", (*_WHO, "kind"), registry=registry)
        self._violations = Counter("nabi_violations", "answers that break a rule", (*_WHO, "rule"), registry=registry)
        self._reactions = Counter("nabi_reactions", "how users took answers", (*_WHO, "reaction"), registry=registry)
        self._refused = Counter("nabi_refused", "requests refused", ("status",), registry=registry)
        registry.register(_State(hosting))

    def answered(self, route: Route, answer: Answer, violations: Iterable[str]) -> None:
        """One answer was given; `violations` names the rules that it breaks."""
        who = (route.persona.id, route.served_by)
        self._answers.labels(*who, answer.ended).inc()
        self._seconds.labels(*who).observe(answer.seconds)
        self._first.labels(*who).observe(answer.seconds_to_first)
        self._chars.labels(*who).observe(len(answer.text))
        self._tokens.labels(*who, "prompt").inc(answer.num_prompt_tokens)
        self._tokens.labels(*who, "answer").inc(answer.num_tokens)
        for rule in violations:
            self._violations.labels(*who, rule).inc()

    def reacted(self, persona_id: str, served_by: str, rating: float) -> None:
        """A user said how an answer was, -1 bad to 1 good."""
        reaction = "good" if rating > 0 else "bad" if rating < 0 else "neutral"
        self._reactions.labels(persona_id, served_by, reaction).inc()

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def tell_of(self, background: Iterable[Repeating]) -> None:
        """From now on the figures say which of this work fails."""
        self._registry.register(_Background(tuple(background)))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)


class _Background(Collector):
    """Which work beside the answers fails at the moment of asking."""

    def __init__(self, works: Sequence[Repeating]) -> None:
        self._works = works

    def collect(self) -> Iterable[Metric]:
        failing = GaugeMetricFamily("nabi_in_trouble", "1 while work beside the answers fails", labels=["work"])
        for work in self._works:
            failing.add_metric([work.name], float(work.trouble is not None))
        return [failing]


class _State(Collector):
    """What the engines hold at the moment of asking."""

    def __init__(self, hosting: Hosting) -> None:
        self._hosting = hosting

    def collect(self) -> Iterable[Metric]:
        waiting = GaugeMetricFamily("nabi_waiting", "requests in the queue", labels=["base"])
        speaking = GaugeMetricFamily("nabi_speaking", "answers being computed", labels=["base"])
        resident = GaugeMetricFamily("nabi_adapters_in_memory", "adapters in slots", labels=["base"])
        loaded = CounterMetricFamily("nabi_adapters_loaded", "adapters put into slots", labels=["base"])
        evicted = CounterMetricFamily("nabi_adapters_evicted", "adapters that made room", labels=["base"])
        prefixes = GaugeMetricFamily("nabi_prefix_bytes", "beginnings of prompts in memory", labels=["base"])
        taken = CounterMetricFamily("nabi_prefix_tokens", "of prompts, taken from memory", labels=["base"])
        for engine in self._hosting.engines:
            base = [engine.ref.name]
            waiting.add_metric(base, engine.num_waiting)
            speaking.add_metric(base, engine.num_speaking)
            resident.add_metric(base, len(engine.residents.digests))
            loaded.add_metric(base, engine.residents.num_loaded)
            evicted.add_metric(base, engine.residents.num_evicted)
            if isinstance(engine, BatchEngine):
                prefixes.add_metric(base, engine.prefixes.num_bytes)
                taken.add_metric(base, engine.prefixes.num_taken)
        return [waiting, speaking, resident, loaded, evicted, prefixes, taken]
