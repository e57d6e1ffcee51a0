"""`perennial models`: versions, the champion, and what an operator may do with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from config.tasks import load_tasks
from daemon.cli.existing import existing_registry, refuse_unknown
from daemon.cli.output import AsJson, console, print_json, say, table

if TYPE_CHECKING:
    from registry.reports.cards import Section

app = typer.Typer(help="Versions and the champion: list, show, promote, rollback, pin, diff, gc.", no_args_is_help=True)

_ACTOR = "operator"
Reason = Annotated[str, typer.Option(help="Why; it stands in the history.")]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Task name.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="For example news-topics/v3.")]


@app.command("list")
def list_(task: Annotated[str | None, typer.Argument(help="Only this task.")] = None, as_json: AsJson = False) -> None:
    """List versions, newest first, with the alias each one carries."""
    with existing_registry() as (settings, registry):
        if task is not None:
            refuse_unknown(task, settings, registry)
        names = [task] if task else sorted(load_tasks(settings.tasks_folder))
        rows = []
        for name in names:
            aliases = {alias.version: alias for alias in registry.versions.aliases(name)}
            for version in sorted(registry.versions.list(name), key=lambda entry: entry.number, reverse=True):
                alias = aliases.get(version.name)
                run = registry.runs.get(version.run_id)
                comparison = (run.comparison or {}) if run else {}
                rows.append({
                    "version": version.name,
                    "alias": alias.name if alias else None,
                    "pinned": alias.pinned if alias else False,
                    "verdict": run.verdict if run else None,
                    "metric": comparison.get("metric"),
                    "score": comparison.get("candidate_score"),
                    "against": comparison.get("opponent"),
                    "opponent_score": comparison.get("champion_score"),
                    "erased_texts": "learnt" if version.affected_at else None,
                    "size_mib": round(version.size_bytes / 2**20, 1),
                    "created_at": version.created_at,
                })  # fmt: skip
    if as_json:
        print_json(rows)
        return
    shown = [
        (row["version"], f"{row['alias'] or ''}{' (pinned)' if row['pinned'] else ''}", row["verdict"],
         f"{row['score']:.3f} {row['metric']}" if row["score"] is not None else "",
         f"{row['opponent_score']:.3f} {row['against']}" if row["opponent_score"] is not None else "",
         f"{row['size_mib']} MiB", row["created_at"], row["erased_texts"])
        for row in rows
    ]  # fmt: skip
    table(
        "Models",
        ("version", "alias", "verdict", "score", "against", "size", "created (UTC)", "erased texts"),
        shown,
        empty="none trained yet",
    )


@app.command()
def show(version: VersionName, as_json: AsJson = False) -> None:
    """Show a version: verdict with reasons, comparison, lineage, settings."""
    from registry.reports import cards  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        found = registry.versions.get(version)
        run = registry.runs.get(found.run_id)
        if as_json:
            print_json({"version": asdict(found), "run": asdict(run) if run else None})
            return
        if console.is_terminal:
            print_card(cards.sections(registry, version))
        else:
            say(cards.card(registry, version))


def print_card(sections: Sequence[Section]) -> None:
    """Print a card on a terminal: tables that keep ids whole, instead of Markdown."""
    for section in sections:
        say(f"\n{section.title}", "bold")
        for line in (*section.text, *(f"- {item}" for item in section.items)):
            say(_plain(line))
        if section.head:
            table("", section.head, [tuple(_plain(str(value)) for value in row) for row in section.rows])


def _plain(markdown: str) -> str:
    return markdown.replace("**", "").replace("`", "")


@app.command()
def promote(version: VersionName, reason: Reason = "promoted by hand") -> None:
    """Make a version the champion, whatever the gate said."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        task = registry.versions.get(version).task
        champion = registry.versions.champion(task)
        expected = champion.version if champion else None
        promotion.promote(registry, task, version, expected=expected, actor=_ACTOR, reason=reason)
    console.print(f"{version} is the champion of {task}; serving follows within seconds")


@app.command()
def rollback(
    task: TaskName,
    to: Annotated[str | None, typer.Option(help="Version to go back to; without it the previous champion.")] = None,
    reason: Reason = "rolled back by hand",
) -> None:
    """Go back to the previous champion, or to a named version."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        alias = promotion.rollback(registry, task, to=to, actor=_ACTOR, reason=reason)
    console.print(f"{alias.version} is the champion of {task} again; serving follows within seconds")


@app.command()
def pin(task: TaskName, reason: Reason = "pinned by hand") -> None:
    """Keep the present champion: nothing is promoted over it until it is unpinned."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        alias = promotion.pin(registry, task, actor=_ACTOR, reason=reason)
    console.print(f"{alias.version} stays the champion of {task} until `perennial models unpin {task}`")


@app.command()
def unpin(task: TaskName, reason: Reason = "unpinned by hand") -> None:
    """Let the gate promote over the champion again."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        alias = promotion.unpin(registry, task, actor=_ACTOR, reason=reason)
    console.print(f"{alias.version} can be replaced again")


@app.command()
def history(task: TaskName, as_json: AsJson = False) -> None:
    """Show every move of the champion, with who and why."""
    with existing_registry() as (settings, registry):
        refuse_unknown(task, settings, registry)
        moves = registry.versions.history(task)
    if as_json:
        print_json([asdict(move) for move in moves])
        return
    rows = [
        (
            move.generation,
            move.kind,
            move.to_version,
            move.from_version,
            move.actor,
            move.reason,
            move.moved_at,
        )
        for move in moves
    ]
    table(f"Champions of {task}", ("generation", "move", "version", "before", "by", "reason", "at (UTC)"), rows)


@app.command()
def diff(left: VersionName, right: VersionName, as_json: AsJson = False) -> None:
    """Show how two versions differ: settings, training set, lineage, metrics."""
    from registry.reports import diff as differences  # noqa: PLC0415 - heavy

    with existing_registry() as (_settings, registry):
        found = differences.between(registry, left, right)
    if as_json:
        print_json(asdict(found))
        return
    table(
        f"{left} -> {right}",
        ("what", left, right),
        [(entry.key, entry.left, entry.right) for entry in found.differences],
        empty="no difference",
    )
    console.print(found.scores)


@app.command()
def gc(
    keep: Annotated[int, typer.Option(help="Newest versions of each task to keep besides champion and previous.", min=0)] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove artifacts that nothing needs; their records stay."""
    from registry import collection  # noqa: PLC0415 - heavy
    from registry.artifacts.local import Artifacts  # noqa: PLC0415 - heavy

    with existing_registry() as (settings, registry):
        removed = collection.collect(registry, Artifacts(settings.artifacts_dir), keep=keep, dry_run=dry_run)
    if as_json:
        print_json(removed)
        return
    console.print(
        f"{'would remove' if dry_run else 'removed'} {len(removed)} artifacts{': ' if removed else ''}{', '.join(removed)}"
    )
