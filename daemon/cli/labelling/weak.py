"""`perennial weak`: what the rules of a task find, told rule by rule, and stored as weak labels on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from config.words import counted
from daemon.cli import completing
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from consumers.labelling.weak.figures import Figures, RuleFigures
    from daemon.operations.weak_labels import Applied, Look

_SHOWN_LABELS = 30


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(weak)


def weak(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task whose rules are applied.", autocompletion=completing.tasks)],
    apply: Annotated[bool, typer.Option("--apply", help="Store the labels; withdraw earlier ones that hold no more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a task's rules find in articles that nobody has labelled: coverage, conflicts, accuracy, labels. Changes nothing.

    With --apply the labels are stored with origin `weak`: they train where nobody has said anything, and never test.
    """
    settings = load_settings()
    from daemon.operations import weak_labels  # noqa: PLC0415 - heavy

    columns = (TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal, transient=True) as bar:
        line = bar.add_task(f"{task}: rules", total=1.0)
        seen = weak_labels.look(settings, task, lambda share: bar.update(line, completed=share))
    applied = weak_labels.apply(settings, seen) if apply else None
    if as_json:
        print_json({"figures": seen.figures, "stored": applied, "would_change": _change(seen)})
        return
    show(seen.figures)
    _say_what_happens(seen, applied)


def show(seen: Figures) -> None:
    """Print the figures of a task's rules."""
    share = f" ({seen.covered / seen.texts:.0%})" if seen.texts else ""
    say(
        (seen.task, "bold"),
        f": {counted(seen.texts, 'article')} that nobody has labelled; rules find something in {seen.covered:,}{share}",
    )
    told = [f"{seen.labelled:,} get a label"]
    told += [f"{seen.unsure:,} are not sure enough"] if seen.unsure else []
    told += [f"rules disagree in {seen.conflicts:,}"] if seen.conflicts else []
    told += [f"{seen.people:,} more left out, because people have spoken of them"] if seen.people else []
    told += [f"{seen.unenriched:,} not enriched yet"] if seen.unenriched else []
    say("; ".join(told), indent=2)
    most = list(seen.labels.items())[:_SHOWN_LABELS]
    more = f" and {len(seen.labels) - _SHOWN_LABELS} more" if len(seen.labels) > _SHOWN_LABELS else ""
    say("labels: " + (", ".join(f"{name} {count:,}" for name, count in most) + more or "none"), indent=2)
    if seen.gold:
        say(f"accuracy by {counted(seen.gold, 'text')} that people labelled (of the train side)", indent=2)
    table("", ("rule", "label", "finds", "share", "meets others", "disagrees", "accuracy", "believed"), map(_row, seen.rules))
    for version, right in seen.models.items():
        say(f"answers of {version} are believed in {right:.0%}", indent=2)
    for warning in seen.warnings:
        say(("please check: ", "yellow"), warning, indent=2)


def _row(rule: RuleFigures) -> tuple[str, ...]:
    accuracy = "" if rule.accuracy is None else f"{rule.accuracy:.0%} of {rule.judged}"
    believed = "" if rule.precision is None else f"{rule.precision:.0%}"
    label = "" if rule.label == rule.name else rule.label
    return (
        rule.name,
        label,
        f"{rule.found:,}",
        f"{rule.coverage:.1%}",
        f"{rule.overlaps:,}",
        f"{rule.conflicts:,}",
        accuracy,
        believed,
    )


def _change(seen: Look) -> dict[str, int]:
    return {"new": len(seen.changes.new), "withdrawn": len(seen.changes.withdrawn), "unchanged": seen.changes.unchanged}


def in_words(change: dict[str, int]) -> str:
    """Return what an application of rules changes."""
    told = [f"{change['new']:,} new"]
    told += [f"{change['withdrawn']:,} earlier ones withdrawn, because they hold no more"] if change["withdrawn"] else []
    told += [f"{change['unchanged']:,} unchanged"] if change["unchanged"] else []
    return ", ".join(told)


def _say_what_happens(seen: Look, applied: Applied | None) -> None:
    change = _change(seen)
    if applied is not None:
        nothing = not (applied.new or applied.withdrawn)
        say(f"Weak labels: {in_words(change)}." + ("" if nothing else " Handed to the daemon; follow with `perennial status`."))
        return
    if change["new"] or change["withdrawn"]:
        say(f"Nothing was stored. `perennial weak {seen.task.name} --apply` would: {in_words(change)}.")
    else:
        say(f"Nothing to store: the labels stand as they are ({change['unchanged']:,}).")
