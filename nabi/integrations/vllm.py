"""vLLM's server as its clients see it: which models it has, adapters loaded and unloaded while it runs, completions.

It must have been started with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from nabi.errors import ModelError, TransientError

_HERE = "NABI_VLLM_URL"


class UnknownAdapter(ModelError):
    """vLLM does not have that adapter, or no longer: it was started again, or another client unloaded it."""


class VllmClient:
    """One vLLM server.

    Args:
        url: without `/v1`.
        api_key: what it was started with as `--api-key`; None for none.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        # An answer may take long, but not the time to its next token.
        timeout = httpx.Timeout(60.0, connect=5.0)
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout, limits=limits)

    def close(self) -> None:
        self._http.close()

    def base(self) -> tuple[str, int]:
        """The name of the base that it serves, and how many tokens prompt and answer may have."""
        try:
            answer = self._http.get("/v1/models")
        except httpx.TransportError as error:
            raise _away(error) from error
        _check(answer.status_code, answer.text)
        card = next((card for card in answer.json()["data"] if not card.get("parent")), None)
        if card is None:
            raise ModelError(
                "vLLM serves no base model", where=_HERE, fix="Start it with the base of this installation."
            )
        return card["id"], int(card["max_model_len"])

    def load(self, name: str, path: str) -> None:
        """Load an adapter from a folder that vLLM sees under the same path; one of that name stays as it is.

        Raises:
            ModelError: vLLM cannot load it.
        """
        answer = self._post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})
        if answer.status_code == 400 and "already been loaded" in answer.text:
            return
        if answer.status_code >= 400:
            raise ModelError(
                f"vLLM cannot load {name}: {_reason(answer.text)}",
                where=path,
                fix="Start it with --enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and a --max-lora-rank that is "
                "enough, and with the adapters' folder under the same path as here.",
            )

    def unload(self, name: str) -> None:
        """Forget an adapter; one that is not there is forgotten already."""
        answer = self._post("/v1/unload_lora_adapter", {"lora_name": name})
        if answer.status_code != 404:
            _check(answer.status_code, answer.text)

    def complete(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A streamed completion, event by event; closing the iterator makes vLLM stop computing.

        Raises:
            UnknownAdapter: it has no model of that name.
            TransientError: it is away, or broke off.
        """
        try:
            with self._http.stream("POST", "/v1/completions", json=body) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    _check(answer.status_code, answer.text)
                for line in answer.iter_lines():
                    if line == "data: [DONE]":
                        return
                    if line.startswith("data: "):
                        event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                        if "error" in event:
                            raise TransientError(f"vLLM broke off: {_reason(line.removeprefix('data: '))}")
                        yield event
        except httpx.TransportError as error:
            raise _away(error) from error
        raise TransientError("vLLM ended an answer in its middle.", fix="Ask again.")

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return self._http.post(path, json=body)
        except httpx.TransportError as error:
            raise _away(error) from error


def _check(status: int, text: str) -> None:
    if status == 404:
        raise UnknownAdapter(f"vLLM does not know it: {_reason(text)}", where=_HERE)
    if status in {408, 429} or status >= 500:
        raise TransientError(f"vLLM answered {status}: {_reason(text)}", where=_HERE)
    if status >= 400:
        raise ModelError(f"vLLM refused ({status}): {_reason(text)}", where=_HERE)


def _reason(text: str) -> str:
    """The message of an error, in either of the shapes that vLLM's versions have."""
    try:
        told = json.loads(text)
        return str(told.get("error", told)["message"])[:300]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:300]


def _away(error: httpx.TransportError) -> TransientError:
    return TransientError(
        f"vLLM cannot be reached ({type(error).__name__}).", where=_HERE, fix="Check the address and that it runs."
    )
