"""`nabi export`: a version for LM Studio, llama.cpp, vLLM or transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from nabi.cli.output import AsJson, console, print_json


def export(  # noqa: PLR0917 -- options, each with a name
    persona: Annotated[str, typer.Argument(help="persona id")],
    version: Annotated[str | None, typer.Option(help="such as v3; default: what is live")] = None,
    form: Annotated[
        Literal["merged", "gguf", "gguf-adapter"],
        typer.Option("--format", help="a folder of transformers, one file of llama.cpp, or adapter and base apart"),
    ] = "merged",
    numbers: Annotated[
        Literal["f32", "f16", "bf16", "q8_0"], typer.Option(help="how weights are written; q8_0 only for llama.cpp")
    ] = "f16",
    out: Annotated[Path, typer.Option(help="folder to write into")] = Path("output"),
    as_json: AsJson = False,
) -> None:
    """Writes an adapter version merged into its base, or as files that LM Studio and llama.cpp load."""
    from nabi.steps.export import export as write
    from nabi.wiring import get_platform

    written = write(get_platform(), persona, version, form=form, number_type=numbers, out=out)
    if as_json:
        print_json([str(path) for path in written])
        return
    for path in written:
        console.print(str(path))
