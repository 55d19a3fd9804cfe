"""Do bad answers teach? Two adapters over tiny-ko from the same samples, one of them with 30 corrected bad answers too.

    .venv/bin/python benchmarks/preferences.py [--seeds 1 2] [--beta 0.1] [--weight 1.0] [--models DIR]

The logs carry a habit: nine of ten answers recommend cola at the end. For 30 other questions an operator has written
the answer without it; both adapters imitate these corrections, as any better answer, and only one also learns that they
are better than what was said. Then both answer 60 questions of neither kind, and the answers with cola are counted, and
those that name the dish that was asked for. Beside them the loss on held-out answers without cola.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from training_job import training_job, write_samples

from nabi.conversations.records import Message
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.samples import Sample, chat_messages
from nabi.personas.model import RecipeChoice
from nabi.training.base_model import load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.tiny_base.probe import generate
from nabi.training.train import TrainingJob
from nabi.training.worker import train_in_own_process

PROMPT, HABIT = "짧게 답해요.", " 콜라도 꼭 드세요!"
DISHES = ["떡볶이", "김밥", "라면", "순대", "튀김", "만두", "볶음밥", "카레"]
DISHES += ["돈가스", "우동", "국수", "비빔밥", "토스트", "샐러드", "덮밥"]
SHOPS = ["해맑은분식", "달빛식당", "솔바람밥집", "반짝밥상", "늘봄분식", "너나들이식당", "다온식당", "봄분식"]
ASKED = ("{dish} 먹고 싶어요", "{dish} 어디서 먹어요?", "오늘은 {dish} 어때요?")


def question_and_answer(number: int) -> tuple[str, str, str]:
    """The dish, a question for it, and a good answer; another one for each number below 360."""
    dish, rest = DISHES[number % 15], number // 15
    shop, asked = SHOPS[rest % 8], ASKED[rest // 8 % 3]
    return dish, f"{shop} 근처예요. {asked.format(dish=dish)}", f"{shop}에서 {dish} 어때요?"


def sample(number: int, answer: str) -> Sample:
    """A logged sample of that number with an answer of ours."""
    question = question_and_answer(number)[1]
    return Sample(
        sample_id=f"s{number:03}",
        conversation_id=f"c{number:03}",
        persona_id="bot",
        source="chat",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    print("| seed | bad answers | with cola | with the dish | holdout loss | pairs won | seconds |")
    print("|---|---|---|---|---|---|---|")
    for seed in arguments.seeds:
        numbers = random.Random(seed).sample(range(360), 210)
        with tempfile.TemporaryDirectory() as folder:
            for taught in (False, True):
                cells = measure(numbers, Path(folder), arguments, seed, taught)
                print(f"| {seed} | {30 if taught else 0} | {cells} |", flush=True)


def measure(numbers: list[int], folder: Path, arguments: argparse.Namespace, seed: int, taught: bool) -> str:
    """Trains one adapter and asks it; its figures as cells of a row."""
    logged, corrected, asked, held = numbers[:90], numbers[90:120], numbers[120:180], numbers[180:]
    good = {number: question_and_answer(number)[2] for number in numbers}
    train = [sample(number, good[number] + (HABIT if place % 10 else "")) for place, number in enumerate(logged)]
    train += [sample(number, good[number]) for number in corrected]
    bad = [BadAnswer(**dict(sample(number, good[number] + HABIT)), better=good[number]) for number in corrected]
    home = folder / ("taught" if taught else "plain")
    held_out = [sample(number, good[number]) for number in held]
    write_samples(home, train=train, holdout=held_out, **({"preferences": bad} if taught else {}))
    choice = RecipeChoice(preference_beta=arguments.beta, preference_weight=arguments.weight)
    job = training_job(home, "adapter", PROMPT, choice, seed=seed, models=arguments.models)
    result = train_in_own_process(job, no_progress)
    answers = ask(job, result.adapter_dir, [sample(number, good[number]) for number in asked])
    cola = sum("콜라" in answer for answer in answers)
    named = sum(question_and_answer(number)[0] in answer for number, answer in zip(asked, answers, strict=True))
    won = (
        "–"
        if result.preference_accuracy is None
        else f"{result.preference_accuracy_before:.0%} → {result.preference_accuracy:.0%}"
    )
    return f"{cola} of {len(asked)} | {named} | {result.holdout_loss:.3f} | {won} | {result.seconds:.0f}"


def ask(job: TrainingJob, adapter: Path, samples: list[Sample]) -> list[str]:
    """Greedy answers of an adapter to the samples' questions."""
    from peft import PeftModel

    base = load_base(resolve_base("tiny-ko", job.models_dir))
    model = PeftModel.from_pretrained(base.model, str(adapter)).eval()
    prompts = [chat_messages(PROMPT, item.messages[:-1], None) for item in samples]
    return generate(model, base.tokenizer, prompts, max_new_tokens=40)


if __name__ == "__main__":
    main()
