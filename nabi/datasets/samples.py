"""What a conversation becomes for training, and the prompt that a model really sees.

Training, evaluation and serving all build their prompts here: a difference between what was trained and
what is served would quietly cost quality.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from pydantic import Field

from nabi.conversations.records import Conversation, Fact, Frozen, Message, Moment

FACTS_HEADING = "참고 정보:"
NO_FACTS = "없음"

# Whatever an editor or a model may take for the end of a line.
_LINE_BREAKS = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")


class Sample(Frozen):
    """One training or evaluation example. The last message is the assistant's answer to learn."""

    sample_id: str
    conversation_id: str
    persona_id: str
    source: str
    occurred_at: Moment
    kind: str | None = None
    facts: tuple[Fact, ...] = ()
    messages: tuple[Message, ...] = Field(min_length=2)
    is_new: bool = Field(default=False, description="held out from logs that no deployed adapter has learned from yet")

    @property
    def question(self) -> str:
        """The user's last turn."""
        return self.messages[-2].content

    @property
    def answer(self) -> str:
        """The assistant's last turn: the reference."""
        return self.messages[-1].content


def sample_from(conversation: Conversation) -> Sample:
    """The sample of a conversation that ends with an assistant's answer; the id follows from the content."""
    body = json.dumps(
        [conversation.conversation_id, [m.model_dump() for m in conversation.messages], list(conversation.facts)],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return Sample(
        sample_id=hashlib.sha256(body.encode()).hexdigest()[:16],
        conversation_id=conversation.conversation_id,
        persona_id=conversation.persona_id,
        source=conversation.source,
        occurred_at=conversation.occurred_at,
        kind=conversation.kind,
        facts=conversation.facts,
        messages=conversation.messages,
    )


def render_facts(facts: Sequence[Fact]) -> str:
    """The block of retrieved context: one line an item, `label: value` joined by ` | `.

    Line breaks become blanks: a value could otherwise begin a line that reads as another item, or as an instruction.
    """
    if not facts:
        return f"{FACTS_HEADING} {NO_FACTS}"
    lines = ("- " + " | ".join(f"{_flat(label)}: {_flat(value)}" for label, value in fact.items()) for fact in facts)
    return "\n".join([FACTS_HEADING, *lines])


def _flat(text: str) -> str:
    lines = _LINE_BREAKS.split(text)
    return text if len(lines) == 1 else " ".join(line.strip() for line in lines if line.strip())


def chat_messages(
    system_prompt: str, messages: Sequence[Message], facts: Sequence[Fact] | None
) -> list[dict[str, str]]:
    """Messages for the chat template: one system message with prompt and facts, then the turns.

    Args:
        system_prompt: the persona's short prompt.
        messages: user and assistant turns; system turns in them are replaced by the persona's prompt.
        facts: retrieved context; None when the persona uses none, so that no heading is shown.
    """
    system = system_prompt.strip()
    if facts is not None:
        system = f"{system}\n\n{render_facts(facts)}"
    turns = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
    return [{"role": "system", "content": system}, *turns]
