"""A server that speaks vLLM's HTTP interface, as its source has it (vllm/entrypoints/openai/models/serving.py, 2026),
and computes with transformers: adapters loaded and unloaded while it runs, completions of token ids, streamed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from penalties import Penalties
from waiting import PATIENCE_S, wait_until

from nabi.serving.blocks import BARE
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import load_verified
from nabi.training.base_model import LoadedBase

BASE_NAME = "org/base"
KEY = "vllm-secret"


class FakeVllm:
    """`loaded`: adapter name → slot. `log`: what was loaded and unloaded, in order. `bodies`: completions asked for."""

    def __init__(self, base: LoadedBase, *, max_loras: int = 4) -> None:
        self.base = base
        self.loaded: dict[str, int] = {}
        self.log: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.breaks_off_after: int | None = None
        self._slots = AdapterSlots(base.model, max_loras)
        self._free = list(range(max_loras, BARE, -1))
        self._computing = threading.Lock()

    def restart(self) -> None:
        """A new process knows no adapter."""
        self._free += self.loaded.values()
        self.loaded = {}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def keyed(request: Request, go_on: Any) -> Any:
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return JSONResponse({"error": "Unauthorized"}, 401)
            return await go_on(request)

        app.get("/v1/models")(self._models)
        app.post("/v1/load_lora_adapter")(self._load)
        app.post("/v1/unload_lora_adapter")(self._unload)
        app.post("/v1/completions")(self._complete)
        return app

    def _models(self) -> dict[str, Any]:
        cards = [{"id": BASE_NAME, "object": "model", "root": BASE_NAME, "parent": None, "max_model_len": 512}]
        cards += [{"id": name, "object": "model", "parent": BASE_NAME, "max_model_len": None} for name in self.loaded]
        return {"object": "list", "data": cards}

    def _load(self, body: dict[str, Any]) -> Any:
        name, path = body["lora_name"], Path(body["lora_path"])
        self.log.append(("load", name))
        if name in self.loaded:
            told = f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set"
            return _error(400, "InvalidUserInput", f"{told} 'load_inplace' to True.")
        if not path.is_dir():
            return _error(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
        if not self._free:
            return _error(500, "InternalServerError", "No free lora slots")
        manifest, tensors = load_verified(path, self.base.ref)
        self.loaded[name] = self._free.pop()
        self._slots.write(self.loaded[name], manifest, tensors, where=path)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, body: dict[str, Any]) -> Any:
        name = body["lora_name"]
        self.log.append(("unload", name))
        if name not in self.loaded:
            return _error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        self._free.append(self.loaded.pop(name))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    def _complete(self, body: dict[str, Any]) -> Any:
        self.bodies.append(body)
        if body["model"] != BASE_NAME and body["model"] not in self.loaded:
            return _error(404, "NotFoundError", f"The model `{body['model']}` does not exist.")
        return StreamingResponse(self._events(body), media_type="text/event-stream")

    def _events(self, body: dict[str, Any]) -> Iterator[str]:
        ids, finish = self._greedy(body), "length"
        if ids and ids[-1] in body["stop_token_ids"]:
            finish = "stop"
        spoken = ids[:-1] if finish == "stop" else ids
        told = text = ""
        for num in range(1, len(spoken) + 1):
            if self.breaks_off_after == num:
                yield _event({"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}})
                return
            text = self.base.tokenizer.decode(spoken[:num], skip_special_tokens=True)
            stops = [place for stop in body["stop"] if (place := text.find(stop)) >= 0]
            if stops:
                text, finish = text[: min(stops)], "stop"
            if not text.endswith("\ufffd"):
                yield _event({"choices": [{"index": 0, "text": text[len(told) :], "finish_reason": None}]})
                told = text
            if stops:
                break
        # What was held back as half a character is told at the end as it is.
        yield _event({"choices": [{"index": 0, "text": text[len(told) :], "finish_reason": finish}]})
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}
        yield _event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    def _greedy(self, body: dict[str, Any]) -> list[int]:
        import torch

        slot = self.loaded.get(body["model"], BARE)
        ids = torch.tensor([body["prompt"]])
        penalties = Penalties(ids.shape[1], frequency=body["frequency_penalty"], presence=body["presence_penalty"])
        with self._computing, torch.inference_mode(), self._slots.speaking([slot]):
            said = self.base.model.generate(
                input_ids=ids,
                max_new_tokens=body["max_tokens"],
                do_sample=False,
                eos_token_id=body["stop_token_ids"],
                logits_processor=[penalties],
            )
        found: list[int] = said[0, ids.shape[1] :].tolist()
        return found


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": status}}, status)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


@contextmanager
def running(fake: FakeVllm) -> Iterator[str]:
    """Runs it on a port of its own; its address."""
    server = uvicorn.Server(uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        (listening,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
