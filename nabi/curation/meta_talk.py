"""Talk about being a machine, about prompts and about training, which no persona should learn (requirement C4)."""

from __future__ import annotations

from collections.abc import Callable

from nabi.conversations.records import Conversation
from nabi.curation.hinted import HintedPattern, hinted, plain_text
from nabi.curation.verdict import given_in
from nabi.evaluation.hard_gates import MACHINE_TALK, MIN_LEAKED_CHARACTERS

SELF_AS_MACHINE = hinted(
    r"""(?:^|(?<=[\s"'(]))(?:저는|나는|전|난|제가|내가)\s*(?:그냥\s*|단지\s*|사실\s*|그저\s*)?
          (?:ai|에이아이|인공\s*지능|(?:대규모\s*|거대\s*)?언어\s*모델|llm|챗봇(?:이|입|일)|컴퓨터\s*프로그램|프로그램\s*(?:이|입|일))
      | (?:ai|인공\s*지능|언어\s*모델|챗봇)(?:로서|이기\s*때문|이라서|라서|이라\s)
      | \b(?:i\s+am|i'm|as)\s+(?:just\s+)?an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model|chat\s*bot)\b""",
    *("ai", "에이아이", "인공", "모델", "llm", "프로그램", "챗봇", "language model", "artificial", "chat"),
)
PROMPT_TALK = hinted(
    r"시스템\s*(?:프롬프트|메시지|지시)|개발자\s*(?:프롬프트|지시)|system\s*prompt|<\|im_",
    *("시스템", "개발자", "system", "<|im_"),
)
# What the hard gate of the evaluation would refuse must not be taught; its words, to look for them first.
GATE = HintedPattern(
    MACHINE_TALK, ("a.i", "ai", "인공", "언어", "챗", "gpt", "language model", "시스템", "system", "학습", "training")
)


def meta_talk_finder(system_prompt: str) -> Callable[[str, Conversation], str | None]:
    """Makes `find(answer, conversation)`: the meta talk in an answer of the conversation, or None.

    Whoever is asked about an AI tool, or shown one, may talk about it, but never as of itself.

    Args:
        system_prompt: the persona's, which no answer may recite.
    """
    size = MIN_LEAKED_CHARACTERS
    # Every run of `size` characters holds one of the blocks of half that size, side by side.
    blocks = [system_prompt[i : i + size // 2] for i in range(0, len(system_prompt) - size // 2 + 1, size // 2)]

    def find(answer: str, conversation: Conversation) -> str | None:
        plain = plain_text(answer)
        if found := SELF_AS_MACHINE.find(plain) or PROMPT_TALK.find(plain):
            return found
        if (found := GATE.find(plain)) and not GATE.find(plain_text(given_in(conversation))):
            return found
        return _recited(answer) if any(block in answer for block in blocks) else None

    def _recited(answer: str) -> str | None:
        runs = (system_prompt[i : i + size] for i in range(len(system_prompt) - size + 1))
        return next((run for run in runs if run in answer), None)

    return find


def asks_for_the_prompt(question: str) -> bool:
    """Whether a user's turn is about the prompt: whatever is answered, it teaches talk about prompts."""
    return PROMPT_TALK.find(plain_text(question)) is not None
