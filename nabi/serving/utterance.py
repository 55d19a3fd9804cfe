"""What an answer says so far, token by token: only text that can no longer change is given out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_UNFINISHED = "�"
"""What a decoder writes for bytes of a character that is not complete yet."""


class Utterance:
    """An answer that grows.

    Args:
        decode: token ids → text.
        stops: the answer ends before the first of these; they are never part of it.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._told = 0
        self._ended_at = ""
        self.ids: list[int] = []
        self.stopped = False

    def add(self, token: int) -> None:
        """One more token."""
        self.ids.append(token)
        if self._stops:
            text = self._decode(self.ids)
            places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
            if places:
                self._ended_at, self.stopped = text[: min(places)], True

    @property
    def text(self) -> str:
        """The answer so far, without the blanks around it."""
        return self._said().strip()

    def news(self, *, ended: bool = False) -> str:
        """What can be told since the last call; when it has ended, everything that is left.

        Blanks at the end wait for what follows them, and so does what may become a stop.
        """
        # Blanks go last: a stop may begin with those that open the answer.
        said = self._said()
        certain = said if ended or self.stopped else said[: len(said) - self._doubtful(said)]
        told = certain.strip()
        fresh = told[self._told :]
        self._told = max(self._told, len(told))
        return fresh

    def _said(self) -> str:
        return self._ended_at if self.stopped else self._decode(self.ids)

    def _doubtful(self, said: str) -> int:
        """How many characters at the end may still change."""
        unfinished = len(said) - len(said.rstrip(_UNFINISHED))
        solid = said[: len(said) - unfinished]
        begun = (length for stop in self._stops for length in range(1, len(stop)) if solid.endswith(stop[:length]))
        return unfinished + max(begun, default=0)
