"""A merged model as another way to serve a version (requirement C11 b): a base of its own, without an adapter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openai
from served_home import PERSONAS, make_home, put_live, serving

from nabi.steps.export import export


def test_a_merged_model_answers_as_the_version_that_it_was_made_of(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any]
) -> None:
    models = tmp_path / "models"
    shutil.copytree(tiny_base_dir, models / "minute")
    platform = make_home(tmp_path / "home", models)
    put_live(platform, "nabiyam--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    export(platform, "nabiyam", None, form="merged", number_type="f32", out=models)
    declared = f"id: merged\nbase_model: nabiyam--v1-merged\n{PERSONAS['nabiyam']}"
    (platform.settings.personas / "merged.yaml").write_text(declared)
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)

        def said(model: str, question: str) -> tuple[str, str | None]:
            messages: Any = [{"role": "user", "content": question}]
            answer = client.chat.completions.create(model=model, messages=messages, max_tokens=24)
            return answer.model, answer.choices[0].message.content

        for question in ("라면 먹고 싶어", "김밥 3,000원", "안녕"):
            merged, adapted, bare = (said(model, question) for model in ("merged", "nabiyam", "bare"))
            assert (merged[0], adapted[0], bare[0]) == ("nabiyam--v1-merged", "nabiyam--v1", "minute")
            assert merged[1] == adapted[1] != bare[1]
