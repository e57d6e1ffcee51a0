"""`perennial labels`: a task's labels with their history; rename, merge, split, retire, add, undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from config.errors import UserError
from config.words import moment
from daemon.cli import completing
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.task_files.labels.label_changes import Change
    from daemon.views.task.labels import Label, LabelChange, Labels


def register(application: typer.Typer) -> None:
    """Add the command to the application."""
    application.command()(labels)


def labels(  # noqa: PLR0917 - each is an option of the command
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task name.", autocompletion=completing.tasks)],
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Give a label another name; may be repeated, all at once.")
    ] = None,
    merge: Annotated[list[str] | None, typer.Option(metavar="A,B=NEW", help="Make one label of several.")] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=A,B", help="Put narrower labels in its place; its texts wait at the desk, lane `changed`."),
    ] = None,
    retire: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Neither learn nor answer it any more; its rows are left out.")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Declare a label that no text carries yet, or use a retired one again."),
    ] = None,
    undo: Annotated[str | None, typer.Option(metavar="ID", help="Take back a change, by the id that is shown.")] = None,
    why: Annotated[str, typer.Option("--why", help="Reason, kept with the change.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show a task's labels with rows and history, or change them."""
    from daemon.labelling import label_changes as operations  # noqa: PLC0415 - heavy

    settings = load_settings()
    if not (rename or merge or split or retire or add or undo):
        found = operations.look(settings, task)
        if as_json:
            print_json(found)
        else:
            _tell(found)
        return
    if undo and (rename or merge or split or retire or add):
        message = "--undo goes alone; make other changes after it"
        raise UserError(message)
    wanted = _Wanted(rename or (), merge or (), split or (), retire or (), add or ())
    asked = operations.change(settings, task, _change(wanted, undo, why), by=ACTOR)
    if as_json:
        print_json(asked)
        return
    say(f"{'; '.join(asked.does)}: asked for as {asked.change_id}. The daemon goes by it from its next look on.")
    say(f"To take it back: perennial labels {task} --undo {asked.change_id}")


class _Wanted(NamedTuple):
    """The options."""

    rename: Sequence[str]
    merge: Sequence[str]
    split: Sequence[str]
    retire: Sequence[str]
    add: Sequence[str]


def _change(wanted: _Wanted, undo: str | None, why: str) -> Change:
    from config.foreign.labels import label  # noqa: PLC0415 - heavy
    from config.task_files.labels.label_changes import Change  # noqa: PLC0415 - heavy

    def read(name: str) -> str:
        try:
            return label(name)
        except ValueError as error:
            message = f"{name!r} is no label: {error}; nothing was changed"
            raise UserError(message) from None

    renames: dict[str, str] = {}
    for option, given in (("--rename", wanted.rename), ("--merge", wanted.merge)):
        for one in given:
            before, new = _sides(option, one)
            for old in before.split(",") if option == "--merge" else [before]:
                if read(old) in renames:
                    message = f"{option} {one!r}: {old!r} is changed twice; make one change after the other"
                    raise UserError(message)
                renames[read(old)] = read(new)
    sides = [_sides("--split", one) for one in wanted.split]
    splits = {read(old): tuple(read(part) for part in new.split(",")) for old, new in sides}
    # A label that stays and others that join it: `--merge a,b=b` says nothing of b itself.
    merged = {new for new in renames.values() if list(renames.values()).count(new) > 1}
    kept = {old: new for old, new in renames.items() if old != new or new not in merged}
    return Change(
        "", reason=why, renames=kept, splits=splits, retired=tuple(map(read, wanted.retire)), added=tuple(map(read, wanted.add)),
        undoes=undo,
    )  # fmt: skip


def _sides(option: str, given: str) -> tuple[str, str]:
    old, equals, new = given.partition("=")
    if not equals or not old.strip() or not new.strip():
        example = {"--rename": "sport=sports", "--merge": "cup,league=sport", "--split": "sport=football,tennis"}[option]
        message = f"{option} {given!r} is not as expected; write e.g. {option} {example}"
        raise UserError(message)
    return old.strip(), new.strip()


def _tell(found: Labels) -> None:
    if found.measured:
        say(f"{found.task} has no labels; it measures {', '.join(found.measured)}. Its file says what.")
        return
    rows = [
        (one.name, one.state, *(one.rows.get(side, 0) or "" for side in ("train", "test", "anchor")), _about(one))
        for one in found.labels
    ]
    table(f"labels of {found.task}", ("label", "state", "train", "test", "anchor", ""), rows)
    changes = [
        (one.change_id, moment(one.at) if one.at else "", one.by, _done(one), one.reason) for one in found.changes
    ]  # fmt: skip
    table("changes", ("id", "when", "by", "what", "why"), changes)


def _done(one: LabelChange) -> str:
    return "; ".join(one.does) + (" (undone)" if one.undone else "")


def _about(one: Label) -> str:
    said = [f"was {', '.join(one.was)}"] if one.was else []
    said += [f"split into {', '.join(one.into)}"] if one.into else []
    return "; ".join(said)
