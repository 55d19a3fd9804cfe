"""Answers that read like another persona's are set apart: a mixed-up export, or a voice that leaks (requirement C5)."""

from __future__ import annotations

from nabi.curation.style_model import StyleModel
from nabi.curation.texts import Texts
from nabi.curation.verdict import BlockFilter, Refused

REASON = "reads like another persona"


def contamination_filter(model: StyleModel | None, persona_id: str) -> BlockFilter | None:
    """The persona's filter; None (not judged) while it or all others have too little to compare with."""
    if model is None or persona_id not in model.names:
        return None

    def check_style(texts: Texts) -> dict[int, Refused]:
        refused: dict[int, Refused] = {}
        for row, last in enumerate(texts.last):
            rival = model.reads_like(texts.contents[last], persona_id)
            if rival is not None and texts.conversations[row].source != "bootstrap":
                refused[row] = Refused(REASON, f"like {rival}")
        return refused

    return check_style
