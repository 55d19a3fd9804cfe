"""Who may do what: bearer tokens with scopes, and how often."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from nabi.errors import ConfigError, NabiError
from nabi.secret_file import read_or_create

Scope = Literal["chat", "operator"]
"""chat: talk, react, and tell what a user allows. operator: all of it, and everything else."""

_TOKEN_BYTES = 32

_TOLD = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="secrets/chat.token or secrets/operator.token of the state folder",
)
"""Only tells readers of the OpenAPI description what to send; `Access` decides."""


class NoAccess(NabiError):
    """No token, or one that is not known here."""


class NotAllowed(NabiError):
    """A token that is known, and not enough for this."""


class TooMany(NabiError):
    """More requests in a minute than a token may make. `retry_after_s`: when the next one is welcome."""

    def __init__(self, what: str, *, retry_after_s: int) -> None:
        super().__init__(what, fix=f"Ask again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as a token tells."""

    scope: Scope


class Access:
    """Tells callers by their token.

    Args:
        folder: where `chat.token` and `operator.token` lie, made at the first start and readable by the owner only.
        per_minute: requests of one token in a minute.
    """

    def __init__(self, folder: Path, *, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = {_token(folder / f"{scope}.token"): scope for scope in _scopes()}
        self._buckets = {kind: _Bucket(per_minute, clock) for kind in (*_scopes(), "vote")}

    def check(self, authorization: str | None, needed: Scope) -> Caller:
        """The caller of a request.

        Args:
            authorization: the header of that name.
            needed: the scope that the route asks for.

        Raises:
            NoAccess, NotAllowed, TooMany.
        """
        kind, _, given = (authorization or "").partition(" ")
        # All are compared, so that the time taken tells nothing.
        known = [scope for token, scope in self._tokens.items() if secrets.compare_digest(_bytes(given), token)]
        if kind.lower() != "bearer" or not known:
            raise NoAccess("a bearer token is needed.", fix="Send it as `Authorization: Bearer TOKEN`.")
        scope = known[0]
        if needed == "operator" and scope != "operator":
            raise NotAllowed("this needs the operator's token.")
        self.count(scope)
        return Caller(scope)

    def count(self, kind: Scope | Literal["vote"]) -> None:
        """One more request of a token, or of all voting links together.

        Raises:
            TooMany.
        """
        self._buckets[kind].take()


def needs(scope: Scope) -> Callable[[Request], Caller]:
    """A FastAPI dependency: only callers with this scope come through."""

    def check(request: Request, _told: object = Security(_TOLD, scopes=[scope])) -> Caller:
        access: Access = request.app.state.access
        return access.check(request.headers.get("authorization"), scope)

    return check


def _scopes() -> tuple[Scope, Scope]:
    return "chat", "operator"


def _bytes(text: str) -> bytes:
    return text.strip().encode("utf-8", errors="replace")


def _token(path: Path) -> bytes:
    token = read_or_create(path, f"nabi-{secrets.token_urlsafe(_TOKEN_BYTES)}".encode(), "the token").strip()
    if len(token) < _TOKEN_BYTES:
        raise ConfigError("the token is too short to be one.", where=str(path), fix="Remove the file for a new one.")
    return token


class _Bucket:
    """Fills with `per_minute` a minute, and holds no more than that."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_s = per_minute / 60
        self._most = float(per_minute)
        self._clock = clock
        self._held, self._at = self._most, clock()

    def take(self) -> None:
        now = self._clock()
        self._held = min(self._most, self._held + (now - self._at) * self._per_s)
        self._at = now
        if self._held < 1:
            wait_s = int((1 - self._held) / self._per_s) + 1
            raise TooMany(f"more than {self._most:g} requests a minute.", retry_after_s=wait_s)
        self._held -= 1
