"""Any two adapters of a persona on the same prompts, as the gate would see them: a report, and nothing deployed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nabi.errors import ConfigError
from nabi.evaluation.gate import Contender, Verdict, decide
from nabi.evaluation.plot import save_comparison_plot, save_gain_plot
from nabi.evaluation.report import gate_report
from nabi.steps.evaluate import BASE, measure_with, open_engine, planted_in_logs, prompts_of
from nabi.steps.guard import uses_words
from nabi.wiring import Platform


@dataclass(frozen=True)
class Compared:
    """What came out, and where the report with its pictures lies."""

    verdict: Verdict
    contenders: dict[str, Contender]
    report: Path

    @property
    def sentence(self) -> str:
        """What the gate would have said, were `new` a candidate now."""
        said = self.verdict.sentence
        return (
            said.replace("deployed", "would deploy", 1)
            if self.verdict.deploy
            else said.replace("kept", "would keep", 1)
        )


@uses_words
def compare(platform: Platform, persona_id: str, old: str, new: str) -> Compared:
    """Measures both anew, on the anchors and the held-out samples of the younger one's dataset version.

    The report goes to the state folder and into the MLflow run that made `new`.

    Args:
        old, new: `v3`, `3`, `nabiyam--v3`, or `base` for the base model without an adapter.

    Raises:
        ConfigError: no such version, the same twice, or neither is an adapter.
    """
    persona = platform.persona(persona_id)
    registry = platform.registry
    versions = [None if name == BASE else registry.version_called(persona_id, name) for name in (old, new)]
    names = [version.name if version else BASE for version in versions]
    younger = max((version for version in versions if version), key=lambda version: version.number, default=None)
    if younger is None or names[0] == names[1]:
        raise ConfigError(
            "there are not two to compare.", where=" and ".join(names), fix="Name two different versions."
        )
    prompts = prompts_of(platform, persona, younger.dataset_version, platform.store.learned_by(persona.id))
    engine = open_engine(platform, persona, names)
    every = list(dict.fromkeys([BASE, *names]))
    measured = measure_with(engine, persona, prompts, every, planted=planted_in_logs(platform, persona_id))
    verdict = decide(measured[names[0]], measured[names[1]], persona.evaluation)
    label = "-".join(name.rsplit("--")[-1] for name in names)
    folder = platform.settings.state / "evaluations" / persona_id / f"compare-{label}"
    folder.mkdir(parents=True, exist_ok=True)
    scores = {name: contender.scores for name, contender in measured.items()}
    save_comparison_plot(folder / "comparison.png", scores, title=" and ".join(names))
    save_gain_plot(folder / "gain.png", verdict)
    report = folder / "report.md"
    compared = Compared(verdict, measured, report)
    questions = {prompt.sample.sample_id: prompt.sample.question for prompt in prompts}
    told = verdict.model_copy(update={"sentence": compared.sentence})
    report.write_text(gate_report(told, measured, questions), encoding="utf-8")
    for path in sorted(folder.iterdir()):
        platform.tracker.log_file(younger.run_id, path, f"evaluation/compare-{label}")
    return compared
