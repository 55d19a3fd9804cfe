"""Talk about being a machine, about prompts and about training, which no persona should learn (requirement C4)."""

from __future__ import annotations

import re
from functools import cache

from nabi.curation.hinted import HintedPattern, hinted, plain_text
from nabi.curation.texts import Texts
from nabi.curation.verdict import given_in
from nabi.evaluation.hard_gates import MACHINE_TALK, MIN_LEAKED_CHARACTERS

SELF_AS_MACHINE = hinted(
    r"""(?:^|(?<=[\s"'(]))(?:저는|나는|전|난|제가|내가)\s*(?:그냥\s*|단지\s*|사실\s*|그저\s*)?
          (?:ai|에이아이|인공\s*지능|(?:대규모\s*|거대\s*)?언어\s*모델|llm
             |챗봇(?:이|입|일)|컴퓨터\s*프로그램|프로그램\s*(?:이|입|일))
      | (?:ai|인공\s*지능|언어\s*모델|챗봇)(?:로서|이기\s*때문|이라서|라서|이라\s)
      | \b(?:i\s+am|i'm|as)\s+(?:just\s+)?an?\s+
          (?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model|chat\s*bot)\b""",
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


def meta_talk_in(texts: Texts, system_prompt: str) -> dict[int, str]:
    """What is meta talk in each conversation that has some.

    In answers: the persona about itself as a machine, about its prompt, or a recital of the prompt. Whoever is asked
    about an AI tool, or shown one, may talk about it, but never as of itself. In questions: the prompt, since whatever
    is answered to that teaches talk about prompts.

    Args:
        system_prompt: the persona's.
    """
    found = {texts.rows[message]: talk for message, talk in texts.find(PROMPT_TALK).items()}
    for message, talk in texts.find(SELF_AS_MACHINE).items():
        if texts.roles[message] == "assistant":
            found.setdefault(texts.rows[message], talk)
    for message, talk in texts.find(GATE).items():
        row = texts.rows[message]
        given = plain_text(given_in(texts.conversations[row]))
        if texts.roles[message] == "assistant" and GATE.find(given) is None:
            found.setdefault(row, talk)
    for message, talk in texts.find(_recital_of(system_prompt.lower())).items():
        if texts.roles[message] == "assistant":
            found.setdefault(texts.rows[message], talk)
    return found


@cache
def _recital_of(prompt: str) -> HintedPattern:
    """Any run of `MIN_LEAKED_CHARACTERS` of the prompt; each holds one of its half as long blocks, side by side."""
    size = MIN_LEAKED_CHARACTERS
    runs = (re.escape(prompt[i : i + size]) for i in range(len(prompt) - size + 1))
    blocks = (prompt[i : i + size // 2] for i in range(0, len(prompt) - size // 2 + 1, size // 2))
    return HintedPattern(re.compile("|".join(runs)), tuple(blocks))
