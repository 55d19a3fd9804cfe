"""A judge's opinion of candidate and opponent, beside what was measured: on the pairs that people would be asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from nabi.datasets.samples import Sample
from nabi.errors import NabiError, TransientError
from nabi.evaluation.judge import Word, ask_about, opinion, read_word, settle
from nabi.evaluation.preference import Pair, Side, Vote, blind_pairs
from nabi.integrations.openai_chat import ChatServer
from nabi.personas.model import Persona
from nabi.steps.blind import JUDGED, agreement_so_far, samples_of
from nabi.steps.evaluate import load_contenders
from nabi.steps.guard import uses_words
from nabi.steps.window import Scored
from nabi.wiring import Platform

logger = logging.getLogger("nabi.progress")

_AT_ONCE = 4
_TRIES = 3
_GIVE_UP_AFTER = 3
"""Comparisons that failed for good: the word is not whole any more, and a server that is away costs minutes."""
_LONGEST_S = 480.0
"""For all of it: deletions wait meanwhile."""

_SIDES: dict[Word, Side] = {"first": "left", "second": "right", "tie": "tie"}


@uses_words
def ask_judge(platform: Platform, scored: Scored) -> Scored:
    """The scores with the judge's opinion, where the persona has a judge. An error of the judge is a part of it.

    Its settled words lie in `judge.jsonl` beside the scores, in the form of people's votes.
    """
    candidate = scored.candidate
    persona = platform.persona(candidate.window.persona_id)
    rules = persona.evaluation.judge
    if rules is None:
        return scored
    contenders = load_contenders(scored.scores)
    samples = samples_of(platform, persona.id, candidate.snapshot.version)
    pairs = blind_pairs(contenders[scored.opponent], contenders[candidate.adapter], rules.prompts)
    key = platform.settings.judge_api_key
    server = ChatServer(rules.url, rules.model, rules.seconds, key.get_secret_value() if key else None)
    asking = _Asking(server, persona, samples)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        heard = list(pool.map(asking.compare, pairs))
    settled = {pair: settle(*words) for pair, words in zip(pairs, heard, strict=True) if words is not None}
    votes = [
        Vote(sample_id=pair.sample_id, who=rules.model, choice=pair.choice_of(_SIDES[word or "tie"]), at=asking.at)
        for pair, word in settled.items()
    ]
    _write(scored, votes)
    contradicted = list(settled.values()).count(None)
    error = asking.errors[-1] if asking.errors else None
    agreed = agreement_so_far(platform, persona.id)
    said = opinion(rules.model, votes, agreed, num_contradicted=contradicted, num_asked=len(pairs), error=error)
    if said.problem:
        logger.warning("%s: the judge's word is missing: %s", candidate.adapter, said.problem)
    platform.tracker.log_metrics(candidate.snapshot.run_id, said.figures())
    return scored.model_copy(update={"opinion": said})


def _write(scored: Scored, votes: list[Vote]) -> None:
    text = "".join(f"{vote.model_dump_json()}\n" for vote in votes)
    scored.scores.with_name(JUDGED).write_text(text, encoding="utf-8")


class _Asking:
    """One round of comparisons, several at once; it stops where going on cannot make the word whole any more."""

    def __init__(self, server: ChatServer, persona: Persona, samples: Mapping[str, Sample]) -> None:
        self._server = server
        self._persona = persona
        self._samples = samples
        self._until = time.monotonic() + _LONGEST_S
        self.at = datetime.now(UTC)
        self.errors: list[str] = []

    def compare(self, pair: Pair) -> tuple[Word, Word] | None:
        """The word on a pair, and the word with its sides swapped; None when one of them is missing."""
        if len(self.errors) >= _GIVE_UP_AFTER or time.monotonic() > self._until:
            return None
        sample = self._samples.get(pair.sample_id)
        if sample is None:
            self.errors.append("a prompt was deleted meanwhile")
            return None
        try:
            return self._ask(sample, pair.left, pair.right), self._ask(sample, pair.right, pair.left)
        except NabiError as error:
            self.errors.append(str(error))
            return None

    def _ask(self, sample: Sample, first: str, second: str) -> Word:
        facts = sample.facts if self._persona.uses_facts else ()
        question = ask_about(self._persona.system_prompt, facts, sample.messages[:-1], first, second)
        for left in reversed(range(_TRIES)):
            try:
                return self._word(question)
            except TransientError:
                if not left or time.monotonic() > self._until:
                    raise
                time.sleep(_TRIES - left)
        raise AssertionError("the last try returns or raises")

    def _word(self, question: str) -> Word:
        said = self._server.ask(question)
        word = read_word(said)
        if word is None:
            raise TransientError("the judge's last line was neither 1, 2 nor =")
        return word
