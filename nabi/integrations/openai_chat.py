"""One question to any server that speaks OpenAI's chat interface: vLLM, llama.cpp, LM Studio, Ollama, nabi itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus

from nabi.errors import ConfigError, TransientError
from nabi.integrations.webhook import no_redirects

_MAX_BYTES = 1024 * 1024
_WORTH_ANOTHER_TRY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True)
class ChatServer:
    """A server and a model on it.

    Args:
        url: up to and with `/v1`.
        seconds: for one answer.
        key: sent as a bearer token; never part of a message.
        settings: what decides about it, for who is told that it refuses.
    """

    url: str
    model: str
    seconds: float
    key: str | None = field(default=None, repr=False)
    settings: str = "the judge's url and model, and at NABI_JUDGE_API_KEY"

    def ask(self, question: str) -> str:
        """The answer at temperature 0, as long as the server lets it be: a judge that thinks first needs room.

        Raises:
            TransientError: no answer, a busy server, or an answer in another shape.
            ConfigError: the server refuses the request; asking again cannot help.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
        }
        request = urllib.request.Request(
            f"{self.url}/chat/completions",
            data=json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "nabi",
                **({"Authorization": f"Bearer {self.key}"} if self.key else {}),
            },
            method="POST",
        )
        try:
            with no_redirects.open(request, timeout=self.seconds) as answer:
                content = answer.read(_MAX_BYTES)
        except urllib.error.HTTPError as error:
            raise self._refused(error.code) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TransientError(f"no answer from {self.url}: {type(reason).__name__}") from error
        return self._text_of(content)

    def _refused(self, status: int) -> TransientError | ConfigError:
        told = f"{self.url} answered {status}"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _WORTH_ANOTHER_TRY:
            return TransientError(told)
        return ConfigError(told, fix=f"Look at {self.settings}.")

    def _text_of(self, content: bytes) -> str:
        try:
            text = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TransientError(f"{self.url} answered in another shape than a chat completion") from error
        if not isinstance(text, str):
            raise TransientError(f"{self.url} answered without a text")
        return text
