"""What went wrong, told in the shape that OpenAI's clients understand; never a stack trace, never a path of ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nabi.errors import ConfigError, DataError, NabiError
from nabi.server.access import NoAccess, NotAllowed, TooMany
from nabi.server.hosting import UnknownModel
from nabi.serving.batching import PromptTooLong, QueueFull

logger = logging.getLogger(__name__)


class NotHere(NabiError):
    """What was named does not exist."""


class Changed(NabiError):
    """What a request leans on is not as it was shown any more."""


# The first that fits counts; what is in no line is the server's fault.
_STATUS: tuple[tuple[type[NabiError], int, str, str | None], ...] = (
    (NoAccess, 401, "authentication_error", "invalid_api_key"),
    (NotAllowed, 403, "permission_error", "insufficient_scope"),
    (NotHere, 404, "invalid_request_error", "not_found"),
    (Changed, 409, "invalid_request_error", "changed"),
    (UnknownModel, 404, "invalid_request_error", "model_not_found"),
    (TooMany, 429, "rate_limit_error", "rate_limit_exceeded"),
    (QueueFull, 429, "rate_limit_error", "queue_full"),
    (PromptTooLong, 400, "invalid_request_error", "context_length_exceeded"),
    (ConfigError, 400, "invalid_request_error", None),
    (DataError, 400, "invalid_request_error", None),
)


def as_error(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def told(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers for an error that reached the surface."""
    if isinstance(error, NabiError):
        message = f"{error.what} {error.fix}" if error.fix else error.what
        for kind, status, name, code in _STATUS:
            if isinstance(error, kind):
                return status, as_error(message, name, code), _headers(error)
        logger.error("a request failed: %s", error)
        return 503, as_error(error.what, "server_error", "unavailable"), {"Retry-After": "5"}
    logger.error("a request failed", exc_info=error)
    return 500, as_error("something went wrong in the server; its log tells what.", "server_error"), {}


def add_handlers(app: FastAPI) -> None:
    """Let every error of an app leave in this shape."""
    app.add_exception_handler(Exception, _any)
    app.add_exception_handler(NabiError, _any)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _headers(error: NabiError) -> dict[str, str]:
    if isinstance(error, NoAccess):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "1"} if isinstance(error, QueueFull) else {}


def _any(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, *told(error))


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = first.get("ctx", {}).get("param") or ".".join(str(part) for part in first["loc"] if part != "body")
    message = first["msg"].removeprefix("Value error, ")
    return _answer(request, 400, as_error(message, "invalid_request_error", first["type"], place[:200] or None))


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    return _answer(request, error.status_code, as_error(str(error.detail), kind), dict(error.headers or {}))


def _answer(
    request: Request, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    request.app.state.measures.refused(status)
    # ASCII with escapes: names come from outside, and half a surrogate pair in one must not break the answer.
    return _AsciiJson(body, status, headers)


class _AsciiJson(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")
