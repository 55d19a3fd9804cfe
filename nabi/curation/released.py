"""What a person looked through and let pass: the filter that set it apart is overruled, and no other filter."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nabi.conversations.records import Conversation
from nabi.curation.completeness import REASON as INCOMPLETE
from nabi.curation.consent import REASON as CONSENT
from nabi.curation.ownership import REASON as OTHER_PERSONA
from nabi.curation.verdict import Refused

Released = Mapping[str, frozenset[str]]
"""Conversation id → the reasons that a person overruled for it."""

NOTHING_RELEASED: Released = MappingProxyType({})

NEVER_RELEASED = frozenset({CONSENT, INCOMPLETE, OTHER_PERSONA})
"""Reasons that no person may overrule: only the one who spoke can consent, and the others leave nothing to learn."""


def is_overruled(refused: Refused, conversation: Conversation, released: Released) -> bool:
    """Whether a person let this conversation pass in spite of this refusal."""
    named = released.get(conversation.conversation_id, frozenset())
    return refused.reason in named and refused.reason not in NEVER_RELEASED
