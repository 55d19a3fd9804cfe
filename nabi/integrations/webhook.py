"""Posts JSON to an address that the operator chose; its secrets stay out of every message."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from nabi.errors import TransientError

_ANSWER_SECONDS = 10.0


def post_json(url: str, body: Mapping[str, Any], *, idempotency_key: str) -> None:
    """Delivers; returns when the receiver answered with a 2xx.

    Raises:
        TransientError: anything else. The message never holds the address, whose path may be a password.
    """
    request = urllib.request.Request(
        url,
        data=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": idempotency_key, "User-Agent": "nabi"},
        method="POST",
    )
    try:
        with no_redirects.open(request, timeout=_ANSWER_SECONDS):
            return
    except urllib.error.HTTPError as error:
        raise TransientError(f"the receiver answered {error.code} {HTTPStatus(error.code).phrase}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TransientError(f"the receiver did not answer ({type(reason).__name__})") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body, at an address that nobody chose."""

    def redirect_request(self, *_arguments: Any, **_keywords: Any) -> None:
        return None


no_redirects = urllib.request.build_opener(_NoRedirects)
