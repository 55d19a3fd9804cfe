"""Answers that must not be given again, as a dataset holds them: negative examples of a training (requirement C14)."""

from __future__ import annotations

from pydantic import Field

from nabi.conversations.records import Conversation
from nabi.datasets.samples import Sample, sample_from


class BadAnswer(Sample):
    """A sample whose last message is what was said and should not have been."""

    better: str | None = Field(default=None, description="what should have been said; None where nobody told")

    def corrected(self) -> Sample | None:
        """The sample with the better answer at its end."""
        if self.better is None:
            return None
        last = self.messages[-1].model_copy(update={"content": self.better})
        told = {name: getattr(self, name) for name in Sample.model_fields if name != "messages"}
        return Sample(messages=(*self.messages[:-1], last), **told)


def bad_answer_from(conversation: Conversation, better: str | None = None) -> BadAnswer:
    """The bad answer that a conversation ends with; the id follows from the content."""
    return BadAnswer(**dict(sample_from(conversation)), better=better)
