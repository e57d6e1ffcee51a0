"""`perennial evaluate` and `perennial compare`: what models are worth on the labelled rows of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from config.words import counted
from daemon.cli import completing, reading
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.views.models.comparison import Scale
    from daemon.views.models.evaluation import Evaluation, Figure

_SHOWN_PARTS = 40
ModelName = Annotated[
    str,
    typer.Argument(
        metavar="VERSION", help="For example news-topics/v3, or a folder that holds a model.", autocompletion=completing.versions
    ),
]
Rows = Annotated[Path, typer.Argument(metavar="FILE", help=f"Labelled rows: {reading.FILES}.")]
TaskName = Annotated[str | None, typer.Option(help="The task that the rows are labels of; by default that of the version.")]
WithLearnt = Annotated[
    bool, typer.Option("--with-learnt", help="Score rows too whose text a model has learnt from; by default they are left out.")
]
AnswersFile = Annotated[
    Path | None, typer.Option("--answers", help="Write the answers to each row into this file (.jsonl or .csv).")
]


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(evaluate)
    app.command()(compare)


@reading.with_options
def evaluate(  # noqa: PLR0917 - typer gives every option by name
    version: ModelName,
    file: Rows,
    task: TaskName = None,
    answers: AnswersFile = None,
    with_learnt: WithLearnt = False,
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Score a model on a file of labelled rows. Nothing is imported, recorded or promoted."""
    _judge((version,), file, task, answers, how, with_learnt=with_learnt, as_json=as_json)


@reading.with_options
def compare(  # noqa: PLR0917 - typer gives every option by name
    champion: Annotated[
        str,
        typer.Argument(
            metavar="V1", help="For example news-topics/v3, or a folder that holds a model.", autocompletion=completing.versions
        ),
    ],
    candidate: Annotated[str, typer.Argument(metavar="V2", help="The model that may be better.")],
    file: Rows,
    task: TaskName = None,
    answers: AnswersFile = None,
    with_learnt: WithLearnt = False,
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Compare two models on the same labelled rows of a file, with the statistics of the gate. Nothing is promoted."""
    _judge((champion, candidate), file, task, answers, how, with_learnt=with_learnt, as_json=as_json)


def _judge(
    names: tuple[str, ...],
    file: Path,
    task: str | None,
    answers: Path | None,
    how: reading.Reading,
    *,
    with_learnt: bool,
    as_json: bool,
) -> None:
    from daemon.operations.evaluating import answers_file  # noqa: PLC0415 - heavy
    from daemon.operations.evaluating import evaluate as evaluating  # noqa: PLC0415 - heavy

    settings = load_settings()
    if answers is not None:
        answers_file.check(answers)
    models = evaluating.models_of(settings, names)
    spec = evaluating.task_of(settings, models, task)
    plan = how.plan(file, spec, settings)
    with _bar(hidden=as_json) as report:
        found = evaluating.evaluate(
            settings, spec, models, plan, with_learnt=with_learnt, bad=reading.BadRows().show, report=report
        )
    if as_json:
        print_json(found.evaluation)
    else:
        _print(found.evaluation)
    # After the result, which hours may have gone into: a disk that is full now costs the file alone.
    written = answers_file.write(answers, found) if answers is not None else 0
    if answers is not None and not as_json:
        say(f"the answers to {counted(written, 'row')} are in {answers}")


def _print(found: Evaluation) -> None:
    names = [model.name for model in found.models]
    say((" and ".join(names), "bold"), f" on {found.file}, task {found.task}")
    say(f"{counted(found.rows, 'row')} in {found.clusters:,} documents or distinct texts", indent=2)
    for model in found.models:
        if model.readiness is not None:
            say(f"{model.name} is ", (model.readiness, "bold"), " by the report of its run", indent=2)
    for line in _left_out(found):
        say(line, indent=2)
    columns = ("metric", *names) if len(names) > 1 else ("metric", "score", f"between ({found.confidence:.0%}, each bound)")
    table("", (*columns, "gain") if len(names) > 1 else columns, [_figure(one) for one in found.figures])
    _print_probabilities(found, names)
    if found.parts:
        shown = found.parts[:_SHOWN_PARTS]
        scale = next(one.scale for one in found.figures if one.decides)
        table("", ("part", "rows", *names), [(one.name, one.rows, *map(scale.format_score, one.scores)) for one in shown])
        if len(found.parts) > len(shown):
            say(f"and {len(found.parts) - len(shown)} more; --json has all", indent=2)
    _print_dimensions(found, names)
    if found.verdict is not None:
        seen = found.comparison
        say(f"they answer {found.answers_differ:,} of {counted(found.rows, 'row')} differently", indent=2)
        scale = next(one.scale for one in found.figures if one.decides)
        say(
            f"gain of {names[1]}: {_signed(scale, seen.gain)}, between {_signed(scale, seen.lower_bound)} and "
            f"{_signed(scale, seen.upper_bound)} (each bound one-sided at {found.confidence:.0%})",
            indent=2,
        )
        from daemon.views.models.runs import VERDICTS  # noqa: PLC0415 - heavy

        say("on these rows alone the policy would say: ", (VERDICTS[found.verdict], "bold"))
        for reason in found.reasons:
            say(reason, indent=2)
    say("Nothing was recorded or promoted.")


def _left_out(found: Evaluation) -> Iterator[str]:
    if found.learnt_left_out:
        known = counted(found.learnt_left_out, "row")
        yield f"{known} left out, because a model has learnt from the text (--with-learnt counts them)"
    for model in found.models:
        if not model.learnt_known:
            yield f"what {model.name} has learnt from is not recorded: rows that it knows may be among these"
    for reason, rows in found.left_out.items():
        yield f"{reason}, left out: {rows}"
    if found.unusable:
        yield f"{counted(found.unusable, 'row')} unusable"
    if found.unknown_labels:
        shown = ", ".join(f"{label} {rows}" for label, rows in list(found.unknown_labels.items())[:10])
        yield f"labels that no model can give: {shown}"
    if found.truncated:
        yield f"{counted(found.truncated, 'text')} read in part"


def _figure(one: Figure) -> tuple[str, ...]:
    title = f"{one.scale.title}{' (decides)' if one.decides else ''}"
    scores = [one.scale.format_score(score) for score in one.scores]
    if len(one.scores) > 1:
        better = one.scores[0] - one.scores[1] if one.scale.better == "lower" else one.scores[1] - one.scores[0]
        return (title, *scores, _signed(one.scale, better))
    lower, upper = one.bounds[0]
    return title, *scores, f"{one.scale.format_score(lower)} to {one.scale.format_score(upper)}"


def _signed(scale: Scale, gain: float | None) -> str:
    if gain is None:
        return ""
    return f"{gain * 100:+.1f} points" if scale.unit == "points" else f"{gain:+.3g} {scale.unit}"


def _print_probabilities(found: Evaluation, names: list[str]) -> None:
    sides = (found.comparison.champion_probabilities, found.comparison.candidate_probabilities)[-len(names) :]
    if any(one is None for one in sides):
        return
    shown = {
        "calibration_error": "calibration error, lower is better",
        "top_2": "label among the two most probable",
        "top_3": "label among the three most probable",
        "abstained": "answers that abstain",
        "accuracy_of_others": "accuracy of the others",
    }
    rows = [(title, *(getattr(one, name) for one in sides)) for name, title in shown.items()]
    table(
        "",
        ("probabilities", *names),
        [(title, *(f"{value:.3f}" for value in values)) for title, *values in rows if None not in values],
    )


def _print_dimensions(found: Evaluation, names: list[str]) -> None:
    if not found.comparison.dimensions:
        return
    sides = ("champion", "candidate")[-len(names) :]
    rows = [
        (
            one.name,
            one.rows,
            *(f"{getattr(getattr(one, side), error):.4g}" for error in ("mae", "rmse", "spearman") for side in sides),
        )
        for one in found.comparison.dimensions
    ]
    head = [f"{error}{f', {name}' if len(names) > 1 else ''}" for error in ("MAE", "RMSE", "Spearman") for name in names]
    table("", ("dimension", "rows", *head), rows)


@contextmanager
def _bar(*, hidden: bool) -> Iterator[Callable[[int, int], None]]:
    shown = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console, disable=hidden or not console.is_terminal, transient=True) as bar:
        line = bar.add_task("answering", total=None)
        yield lambda done, of: bar.update(line, completed=done, total=of)
