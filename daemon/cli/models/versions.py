"""`perennial models`: versions, the champion, and what an operator can do with them; `perennial predict`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from config.words import counted
from daemon.cli import completing, reading
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.views.models.changes import Changes
    from daemon.views.models.versions import Move
    from registry.reports.answers import Words
    from registry.reports.section import Section

app = typer.Typer(help="Model versions and the champion.", no_args_is_help=True)

_BY_HAND = "promoted by hand"
_SHA256 = re.compile("[0-9a-f]{64}")
_HASH_SHOWN = 12
_TEXT_SHOWN = 200
Reason = Annotated[str, typer.Option(help="Reason, kept in the history.")]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--format", metavar="FORMAT",
        help="What opens it: perennial (as published), hf, sentence-transformers, spacy, onnx or openvino. "
        "Not each is there for each kind.",
    ),
]  # fmt: skip
VersionName = Annotated[
    str, typer.Argument(metavar="VERSION", help="For example news-topics/v3.", autocompletion=completing.versions)
]


def register(application: typer.Typer) -> None:
    """Add the command that asks a model to the application, and the group of those about models."""
    application.command()(predict)
    application.add_typer(app, name="models")


@app.command("list")
def list_(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task.", autocompletion=completing.tasks)] = None,
    as_json: AsJson = False,
) -> None:
    """List versions, newest first, with verdict, scores and alias (champion, previous)."""
    from daemon.views.models import runs, versions  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        if task is not None:
            from daemon.views import tasks  # noqa: PLC0415 - heavy

            tasks.refuse_unknown(task, settings, registry)
        found = sorted(versions.newest(registry, task), key=lambda one: (one.task, -one.number))
    if as_json:
        print_json([{"version": one.name, **one.model_dump(mode="json"), "size_mib": _mib(one.size_bytes)} for one in found])
        return
    rows = [
        (one.name, f"{one.alias or ''}{' (pinned)' if one.pinned else ''}", runs.VERDICTS[one.verdict] if one.verdict else "",
         f"{one.format_score(one.score)} {one.metric}" if one.score is not None else "",
         f"{one.format_score(one.opponent_score)} {one.against}" if one.opponent_score is not None else "",
         f"{_mib(one.size_bytes)} MiB", one.created_at, one.erased_texts)
        for one in found
    ]  # fmt: skip
    columns = ("version", "alias", "verdict", "score", "against", "size", "created (UTC)", "erased texts")
    table("Models", columns, rows, empty="none trained yet")


def _short(value: object) -> object:
    """Return a number with four digits, and a hash as its beginning; JSON and `models show` have them whole."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value[:_HASH_SHOWN] if isinstance(value, str) and _SHA256.fullmatch(value) else value


def _mib(size_bytes: int) -> float:
    return round(size_bytes / 2**20, 1)


@app.command()
def show(version: VersionName, as_json: AsJson = False) -> None:
    """Show a version: verdict with reasons, comparison, lineage, settings."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.views.models import sentences, versions  # noqa: PLC0415 - heavy
    from registry.reports import cards  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        if as_json:
            print_json(versions.of_name(registry, version))
            return
        run_id = registry.versions.get(version).run_id
        words = sentences.of(registry, run_id, load_tasks(settings.tasks_folder), settings)
        if console.is_terminal:
            print_card(cards.sections(registry, version, words=words))
        else:
            say(cards.card(registry, version, words=words))


def print_card(sections: Sequence[Section]) -> None:
    """Print a card on a terminal: tables that keep ids whole, instead of Markdown."""
    for section in sections:
        say((f"\n{section.title}", "bold"))
        for line in section.text:
            say(_plain(line))
        for item in section.items:
            say(f"- {_plain(item)}", indent=2)
        if section.head:
            table(
                "",
                section.head,
                [tuple(_plain(value) if isinstance(value, str) else value for value in row) for row in section.rows],
            )


def _plain(markdown: str) -> str:
    return markdown.replace("**", "").replace("`", "")


@app.command()
def promote(
    version: VersionName,
    reason: Reason = _BY_HAND,
    force: Annotated[bool, typer.Option("--force", help="Also one that the sandbox refused; needs --reason.")] = False,
) -> None:
    """Make a version the champion, whatever its verdict. One that the sandbox refused needs --force."""
    from registry import promotion  # noqa: PLC0415 - heavy

    if force and reason.strip() in ("", _BY_HAND):
        message = "--force needs --reason: say in a few words why; the history keeps it. Nothing was changed"
        raise UserError(message)
    with opening.registry(load_settings()) as registry:
        alias = promotion.promote_by_hand(registry, version, actor=ACTOR, reason=reason, force=force)
    say(f"{alias.version} is the champion of {alias.task}; serving follows within seconds")


@app.command()
def rollback(
    task: TaskName,
    to: Annotated[str | None, typer.Option(help="Version to go back to; by default the previous champion.")] = None,
    reason: Reason = "rolled back by hand",
) -> None:
    """Go back to the previous champion, or to a named version."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with opening.registry(load_settings()) as registry:
        last = next(iter(registry.versions.history(task)[-1:]), None)
        if to is None and last is not None and last.kind == "rollback":
            message = (
                f"{task} was rolled back from {last.from_version} to {last.to_version} already; nothing was changed. Name the "
                f"version that is to answer with --to, such as --to {last.from_version}"
            )
            raise UserError(message)
        alias = promotion.rollback(registry, task, to=to, actor=ACTOR, reason=reason)
    say(f"{alias.version} is the champion of {task} again; serving follows within seconds")


@app.command()
def pin(task: TaskName, reason: Reason = "pinned by hand") -> None:
    """Keep the present champion: no version replaces it until it is unpinned."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with opening.registry(load_settings()) as registry:
        alias = promotion.pin(registry, task, actor=ACTOR, reason=reason)
    say(f"{alias.version} stays the champion of {task} until `perennial models unpin {task}`")


@app.command()
def unpin(task: TaskName, reason: Reason = "unpinned by hand") -> None:
    """Allow versions to replace the champion again."""
    from registry import promotion  # noqa: PLC0415 - heavy

    with opening.registry(load_settings()) as registry:
        alias = promotion.unpin(registry, task, actor=ACTOR, reason=reason)
    say(f"{alias.version} can be replaced again")


@app.command()
def history(
    task: TaskName,
    at: Annotated[datetime | None, typer.Option(metavar="DATE", help="Which version answered then (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every change of champion: when, by whom and why. With --at, only which version answered then."""
    from daemon.views.models import versions  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        from daemon.views import tasks  # noqa: PLC0415 - heavy

        tasks.refuse_unknown(task, settings, registry)
        moves = versions.history(registry, task) if at is None else []
        then = None if at is None else versions.answering_at(registry, task, at.replace(tzinfo=UTC))
    if at is not None:
        _print_answering(task, at, then, as_json=as_json)
        return
    if as_json:
        print_json(moves)
        return
    rows = [(one.generation, one.kind, one.to_version, one.from_version, one.actor, one.reason, one.moved_at) for one in moves]
    table(f"Champions of {task}", ("generation", "move", "version", "before", "by", "reason", "at (UTC)"), rows)


def _print_answering(task: str, at: datetime, then: Move | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"task": task, "at": at.replace(tzinfo=UTC), "version": then.to_version if then else None, "move": then})
    elif then is None:
        say(f"no version of {task} was in production on {at:%Y-%m-%d %H:%M} UTC")
    else:
        say((then.to_version, "bold"), f" answered for {task} on {at:%Y-%m-%d %H:%M} UTC")
        say(f"since {then.moved_at:%Y-%m-%d %H:%M} UTC ({then.kind} by {then.actor}: {then.reason})", indent=2)


@app.command()
@reading.with_options
def diff(
    left: VersionName,
    right: VersionName,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Labelled rows to ask both; by default held-out ones.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows to show whose answer changed.", min=0)] = 10,
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Show how two versions differ: the answers that changed, settings, training set, lineage."""
    from daemon.operations.evaluating import changing  # noqa: PLC0415 - heavy

    settings = load_settings()
    if file is None and how != reading.Reading():
        message = "options about columns and formats say how a FILE is read, and none is given; name one after the versions"
        raise UserError(message)
    plan = None if file is None else lambda task: how.plan(file, task, settings)
    with console.status("asking both", spinner="dots") if console.is_terminal and not as_json else nullcontext():
        found = changing.difference(
            settings, left, right, plan=plan, limit=limit, bad=reading.BadRows().show, report=lambda _done, _of: None
        )
    if as_json:
        print_json(found)
        return
    if found.changes is not None:
        _print_changes(found.changes)
    elif found.not_asked:
        say(f"which answers changed is not known: {found.not_asked}")
    rows = [(entry.key, _short(entry.left), _short(entry.right)) for entry in found.differences]
    table(f"{left} -> {right}", ("", left, right), rows, empty="no difference")
    say(found.scores)


def _print_changes(found: Changes) -> None:
    say((f"{found.changed:,} of {found.of} are answered otherwise", "bold"))
    if found.changed:
        say(f"{found.better:,} better, {found.worse:,} worse, {found.neither:,} neither (both right, or both wrong)", indent=2)
        moves = [(one.before, one.after, one.rows, one.better, one.worse, one.neither) for one in found.moves]
        table("Changes", ("from", "to", "rows", "better", "worse", "neither"), moves)
    if found.examples:
        shown = [
            (
                one.how,
                _words(one.before),
                _words(one.after),
                _words(one.gold),
                f"{one.text[:_TEXT_SHOWN]}{'…' if one.cut else ''}",
            )
            for one in found.examples
        ]
        table("Examples", ("", found.before, found.after, "right", "text"), shown)


def _words(said: Sequence[Words]) -> str:
    return "".join(one.text for one in said)


@app.command()
def export(
    version: VersionName,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to: a new folder, or an empty one.")],
    as_format: ExportFormat = "perennial",
    as_json: AsJson = False,
) -> None:
    """Write a version's files and a model card into a folder, for other programs; an adapter is added to the weights."""
    from daemon.operations.handing import exporting  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = exporting.export(settings, registry, version, folder, as_format=as_format)
    if as_json:
        print_json(found)
        return
    say(f"{version} is in {folder} as {found.format}{', its adapter added to the weights' if found.merged else ''}")
    if found.licence is None:
        say("The licence of its base model is unknown here; README.md says so. Find it out before you hand the model on.")


@app.command()
def gc(
    keep: Annotated[int, typer.Option(help="Newest versions of each task to keep, besides champion and previous.", min=0)] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the files of versions that are no longer needed; their records stay."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.training.preparing import teachers  # noqa: PLC0415 - heavy
    from registry.artifacts.open import open_store  # noqa: PLC0415 - heavy
    from registry.removal import collection  # noqa: PLC0415 - heavy

    settings = load_settings()
    referred = teachers.named_by(load_tasks(settings.tasks_folder).values())
    with opening.registry(settings) as registry:
        artifacts = open_store(settings.artifacts_dir)
        removed = collection.collect(registry, artifacts, keep=keep, referred=referred, dry_run=dry_run)
    if as_json:
        print_json(removed)
        return
    did = "would remove" if dry_run else "removed"
    say(f"{did} {counted(len(removed), 'artifact')}{': ' if removed else ''}{', '.join(removed)}")


def predict(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)],
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts; by default one per line from standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer texts by the champion, or by keywords and rules while there is none. Asks serving if it runs, else answers here."""
    from daemon.serving import client  # noqa: PLC0415 - heavy

    texts = text or [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        message = "no text given; give texts as arguments, or one per line on standard input"
        raise UserError(message)
    answered = client.ask(load_settings(), task, texts)
    if as_json:
        print_json(answered)
        return
    say((f"{answered['version']}, by {answered['by']}", "dim"))
    for asked, prediction in zip(texts, answered["predictions"], strict=True):
        console.print(client.in_words(asked, prediction))
