"""`perennial init`: asks what you have, and writes a task file."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from config.errors import UserError
from config.words import counted
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from daemon.operations.defining.looking import Found

T = TypeVar("T")

_SHOWN_LABELS = 12
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(init)


def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="File of labelled texts, as `perennial import` reads it.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the task.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the task; `perennial tasks kinds` lists them.")] = None,
    closed: Annotated[
        bool | None, typer.Option("--closed/--open", help="Refuse labels that are not in the file, or let new ones join.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of the texts, such as en or sv (for entities).")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder of the task file; by default `tasks_dir`, or else tasks.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is proposed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a task file: look at labelled texts, ask what cannot be seen, and say what to do next."""
    from daemon.operations.defining import looking, writing  # noqa: PLC0415 - heavy

    asks = _Questions(silent=yes or as_json)
    settings = load_settings()
    known = writing.templates()
    if kind is not None and kind not in known:
        message = f"there is no task file of kind {kind!r} to begin with; choose one of {', '.join(known)}"
        raise UserError(message)
    numbers = looking.numbers_of(file) if file else {}
    found = looking.look(file, writing.drafts(numbers), kind) if file else None
    if file and found and not as_json:
        _show(file, found)
    chosen = kind or asks.choice("Kind of task", list(known), found.kind if found else None, known_as=_about)
    if file and found and chosen != found.kind:
        found = looking.look(file, writing.drafts(numbers), chosen)
    name = name or asks.text(
        "Name of the task", _proposed(file, chosen), fits=_NAME, form="lower-case letters, digits and dashes"
    )
    labels: list[str] = []
    if found and found.labels:
        closed = asks.yes("Refuse labels that are not in the file", default=False) if closed is None else closed
        labels = list(found.labels) if closed else []
    if writing.starts_blank(chosen):
        language = language or asks.text("Language of the texts", "en", fits=re.compile(r"[a-z]{2,3}"), form="a code such as en")
    folder = folder or (Path(settings.tasks_dir) if settings.tasks_dir else Path("tasks"))
    wanted = writing.Wanted(
        name, chosen, description=asks.text("One sentence about it", "", empty=True), labels=labels,
        language=language or "en", dimensions=writing.ranges(numbers) if writing.measures(chosen) else {},
    )  # fmt: skip
    path = writing.write(folder, wanted)
    steps = _next(file, found, name, folder, in_use=settings.tasks_dir == str(folder))
    if as_json:
        print_json({"task_file": str(path), "kind": chosen, "name": name, "found": found, "next": steps})
        return
    say("\nwritten: ", (str(path), "bold"))
    say("next:")
    for step in steps:
        say(f"  {step}", indent=4)


def _show(file: Path, found: Found) -> None:
    from config.kinds import catalog as kinds  # noqa: PLC0415 - heavy

    say(
        (str(file), "bold"),
        f": {counted(found.rows, 'example')} of {kinds.get(found.kind).words.task} in the first {found.of} rows",
    )
    if found.labels:
        names = [f"{label} ({count})" for label, count in found.labels.items()][:_SHOWN_LABELS]
        more = f" and {len(found.labels) - len(names)} more" if len(found.labels) > len(names) else ""
        say(f"  {counted(len(found.labels), 'label')}: {', '.join(names)}{more}", indent=4)


def _about(kind: str) -> str:
    from config.kinds import catalog as kinds  # noqa: PLC0415 - heavy

    return kinds.get(kind).words.about


def _proposed(file: Path | None, kind: str) -> str:
    """Return a name that is made of the file's, where one can be."""
    words = re.sub(r"[^a-z0-9]+", "-", (file.name.split(".")[0] if file else f"my-{kind}").lower()).strip("-")
    return words[:63] if _NAME.fullmatch(words[:63]) else f"my-{kind}"


def _next(file: Path | None, found: Found | None, name: str, folder: Path, *, in_use: bool) -> list[str]:
    from config.settings import DEFAULT_CONFIG_FILE, config_file  # noqa: PLC0415 - heavy

    steps = []
    if not in_use:
        steps.append(f'put the line tasks_dir = "{folder}" into {config_file() or DEFAULT_CONFIG_FILE}')
    steps.append("perennial tasks")
    if file is not None and found is not None:
        steps.append(shlex.join(["perennial", "import", str(file), "--task", name, *found.options]))
    else:
        steps.append(f"perennial import FILE --task {name}")
    return [*steps, "perennial run"]


class _Questions:
    """Asks on the terminal; where it must not, or there is none, takes what is proposed."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def choice(self, what: str, choices: list[str], proposed: str | None, *, known_as: Callable[[str], str]) -> str:
        """Return one of `choices`."""
        if not self._silent:
            for one in choices:
                say(f"  {one:<16}", (known_as(one), "dim"))
        return self._ask(what, proposed, lambda said: said if said in choices else None, f"one of {', '.join(choices)}", "--kind")

    def text(self, what: str, proposed: str, *, fits: re.Pattern[str] | None = None, form: str = "", empty: bool = False) -> str:
        """Return a text of a form."""
        if empty and self._silent:
            return proposed
        return self._ask(what, proposed, lambda said: said if fits is None or fits.fullmatch(said) else None, form, "")

    def yes(self, what: str, *, default: bool) -> bool:
        """Return whether somebody agrees."""
        return default if self._silent else typer.confirm(what, default=default)

    def _ask(self, what: str, proposed: str | None, read: Callable[[str], T | None], form: str, option: str) -> T:
        if self._silent or not sys.stdin.isatty():
            found = read(proposed) if proposed is not None else None
            if found is None or not self._silent:
                named = f"give {option}" if option else "give it as an option"
                message = f"{what} is not known, and nobody can be asked here; {named}, or --yes to take what is proposed"
                raise UserError(message)
            return found
        while True:
            found = read(str(typer.prompt(what, default=proposed, show_default=bool(proposed))).strip())
            if found is not None:
                return found
            say((f"  write {form}", "yellow"))
