"""`perennial review`: the desk at a terminal; its queue as JSON; and answers of programs, one a line."""

from __future__ import annotations

import getpass
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import UserError
from config.words import counted, printable
from daemon.cli import completing
from daemon.cli.output import AsJson, console, print_json, say
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.labelling.answering import Desk, Told
    from daemon.views.desk import models

_HELP = (
    "A key or a label answers; several, separated by commas (keys also by spaces); 0: none. s skips, u opens your last answer "
    "again, n TEXT adds a note to your next answer, q quits. c says that you cannot tell, where two models are to be told apart. "
    "=LABEL is a label whatever it is called."
)
_FORMS: Mapping[str, str] = {
    "spans": "Mark with KEY: words of the text, or 12-20 KEY; several, separated by semicolons; 0: nothing to mark.",
    "numbers": "Answer as name=3, other=4.5; leave out what you cannot tell.",
    "signals": "Answer as name=0.5 tag, other=-1 tag; leave out what you cannot tell.",
}
_ENDS = 2
_RANDOM, _NEXT = "random", "next"
"""As `consumers.labelling.lanes` has it, which would load the kinds for `--help`."""


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(review)


def review(  # noqa: PLR0917 - typer gives every option by name
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Task whose texts are asked about.", autocompletion=completing.tasks)
    ],
    lane: Annotated[
        str,
        typer.Option(
            help="test, disagreement, conflicts, audit, random, adjudication, suspicious, changed or next; "
            "left out, the first with something."
        ),
    ] = "",
    random: Annotated[
        int | None,
        typer.Option(metavar="N", help="Ask about N texts drawn at random of those that models answered.", min=1, max=500),
    ] = None,
    draw_next: Annotated[
        int | None,
        typer.Option(
            "--next", metavar="N", help="Choose N texts anew whose labels may teach most, and ask about them.", min=1, max=500
        ),
    ] = None,
    annotator: Annotated[str, typer.Option(help="Your name, as answers keep it; left out, your user name.")] = "",
    limit: Annotated[int, typer.Option(help="At most this many texts.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Label held-out texts, decide conflicts and audit, one text after another; or list them with --json.

    Without a terminal, answers are read from standard input, one JSON object a line (docs/desk.md).
    """
    from daemon.labelling import answering  # noqa: PLC0415 - heavy

    if random is not None:
        if lane not in ("", _RANDOM):
            message = f"--random asks in lane {_RANDOM}, and --lane names {lane}; leave one of them out"
            raise UserError(message)
        lane, limit = _RANDOM, random
    if draw_next is not None:
        if random is not None or lane not in ("", _NEXT):
            message = f"--next asks in lane {_NEXT}; leave out --random and --lane {lane}".rstrip()
            raise UserError(message)
        lane, limit = _NEXT, draw_next
    name = answering.annotator_of(annotator or _user())
    with _opened(task, name) as desk:
        if random is not None:
            _check_drawn(desk, random)
        if draw_next is not None:
            _draw_next(desk, draw_next, quiet=as_json)
        if as_json:
            print_json(_look(desk, lane, limit=limit))
        elif sys.stdin.isatty():
            _Terminal(desk, lane).ask(limit)
        else:
            _read_answers(desk)


@contextmanager
def _opened(task: str, annotator: str) -> Iterator[Desk]:
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.labelling.answering import Desk  # noqa: PLC0415 - heavy

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    if task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    with opening.registry(settings) as registry, opening.buffer(settings) as buffer:
        yield Desk(tasks[task], annotator, "perennial review", settings, registry, buffer)


def _look(desk: Desk, lane: str, *, item: str = "", limit: int = 1) -> models.Desk:
    from daemon.views.desk import reading  # noqa: PLC0415 - heavy

    return reading.look(
        desk.task,
        desk.annotator,
        lane,
        registry=desk.registry,
        buffer=desk.buffer,
        settings=desk.settings,
        item=item,
        limit=limit,
    )


def _check_drawn(desk: Desk, wanted: int) -> None:
    """Say where fewer texts can be drawn than are wanted. Raises `UserError` where there is none."""
    there = _look(desk, _RANDOM).lane.waiting
    if not there:
        message = (
            f"no text of task {desk.task.name} can be drawn: no prediction is stored that is not labelled and of which nothing "
            f"trains. Serving stores what it answers; `perennial review {desk.task.name}` asks about held-out articles"
        )
        raise UserError(message)
    if there < wanted:
        sys.stderr.write(f"only {counted(there, 'text')} of the {wanted} can be drawn\n")


def _draw_next(desk: Desk, wanted: int, *, quiet: bool) -> None:
    """Choose what to label next, and say by what. Raises `UserError` where no article can be chosen."""
    from daemon.operations import drawing_next  # noqa: PLC0415 - heavy

    requested = desk.registry.pools.kept_texts(desk.task.name)
    made = drawing_next.draw(
        desk.settings, desk.task, desk.buffer, requested=requested, count=wanted, now=desk.registry.clock()
    )  # fmt: skip
    if not made.picks:
        message = (
            f"no article without a label of task {desk.task.name} can be chosen within promotion.window_days; send articles, or "
            f"`perennial source` collects them"
        )
        raise UserError(message)
    if len(made.picks) < wanted:
        sys.stderr.write(f"only {counted(len(made.picks), 'text')} of the {wanted} can be chosen\n")
    if quiet:
        return
    ways = Counter(one.way for one in made.picks)
    told = ", ".join(f"{count} {way}" for way, count in ways.most_common())
    say((f"{counted(len(made.picks), 'text')} chosen of {made.looked_at:,}: ", "bold"), told)
    if made.without_model:
        say((made.without_model, "dim"))
    for line in made.gain:
        say((line, "dim"))


class _Terminal:
    """Asks a person about one text after another."""

    def __init__(self, desk: Desk, lane: str) -> None:
        self._desk = desk
        self._lane = lane
        self._note = ""

    def ask(self, limit: int) -> None:
        """Ask about up to `limit` texts; ends at the end of the queue, of the input, or when the person says so."""
        item, answered = "", 0
        while answered < limit:
            seen = _look(self._desk, self._lane, item=item)
            if not seen.items:
                say((f"{seen.lane.title}: nothing waits for you. ", "bold"), seen.lane.about)
                say(*_elsewhere(seen))
                return
            shown = seen.items[0]
            self._show(seen, shown)
            line = self._line()
            while line is not None and not (told := self._answered(seen, shown, line)):
                line = self._line()
            if line is None:
                break
            if told == "undo":
                item = seen.last[0].item if seen.last else ""
                self._lane = seen.last[0].lane if seen.last else self._lane
                continue
            item, answered = "", answered + 1
        say(f"{counted(answered, 'text')} answered or skipped; `perennial review {self._desk.task.name}` goes on")

    def _show(self, seen: models.Desk, shown: models.Item) -> None:
        say("")
        say((f"{seen.lane.title}, {seen.lane.waiting} waiting", "bold"), (f"  {seen.progress.words}", "dim"))
        if seen.pair is not None and seen.lane.cannot_tell:
            say((seen.pair.words, "dim"))
        say(*([(f"why this one: {shown.why}\n", "dim")] if shown.why else []), shown.text)
        if shown.cut:
            say((f"cut: the text has {shown.chars} characters", "yellow"))
        for one in shown.said:
            say((f"{one.annotator} said ", "dim"), (one.words, "bold"), f"  {one.note or ''}")
        if shown.yours:
            say("you said ", (shown.yours.words, "bold"), "; your next answer replaces it")
        if seen.lane.decides == "feedback":
            for held in shown.held:
                say((f"[{held.key}] ", "bold"), held.words, (f"  {held.user}, {held.why}", "dim"))
            say(("[0] ", "bold"), "none of them")
        elif seen.widget in ("numbers", "signals"):
            for asked in seen.measured:
                say((asked.name, "bold"), f"  {asked.low:g} to {asked.high:g}  {' '.join(asked.tags)}")
        else:
            say(*_labels(seen))
        if seen.widget in _FORMS and seen.lane.decides == "label":
            say((_FORMS[seen.widget], "dim"))

    def _line(self) -> str | None:
        """Return what the person writes; None at the end of the input and for q."""
        console.print("> ", end="")
        line = sys.stdin.readline()
        return None if not line or line.strip() == "q" else line.strip()

    def _answered(self, seen: models.Desk, shown: models.Item, line: str) -> str:
        """Take one line in; return whether and how it goes on: empty where the same text is asked about again."""
        if line in ("", "h", "?"):
            say((_HELP, "dim"))
            return ""
        if line == "u":
            return "undo"
        if line.startswith("n "):
            self._note = line[2:].strip()
            say(("the note goes with your next answer", "dim"))
            return ""
        try:
            told = self._told(seen, shown, line)
        except (UserError, ValueError) as error:
            say(("not sent: ", "bold red"), str(error))
            return ""
        self._note = ""
        say(("" if told.done else "not changed: ", "bold red"), told.words)
        return "done"

    def _told(self, seen: models.Desk, shown: models.Item, line: str) -> Told:
        from config.kinds import forms  # noqa: PLC0415 - heavy

        if line == "s":
            return self._desk.skip(shown.lane, shown.item, self._note)
        if line == "c" and seen.lane.cannot_tell:
            return self._desk.cannot_tell(shown.lane, shown.item, self._note)
        if seen.lane.decides == "feedback":
            if line == "0":
                return self._desk.decide(shown.item, None, self._note)
            accepted = next((one.event_id for one in shown.held if line in (one.key, one.event_id)), None)
            if accepted is None:
                message = f"{line!r} is none of the keys; h tells what there is"
                raise UserError(message)
            return self._desk.decide(shown.item, accepted, self._note)
        keys = {one.key: one.name for one in seen.choices if one.key}
        given = (
            {forms.LABEL: [line[1:].strip()]}
            if line.startswith("=")
            else forms.fields_of_line(seen.widget, line, lambda said: keys.get(said, said))
        )
        known = {one.name for one in seen.choices}
        if odd := sorted(set(given.get(forms.LABEL, ())) - known) if not line.startswith("=") and known else []:
            # A slip of a finger must not make a label.
            message = f"{odd[0]!r} is no key and no label so far" + (f"; ={odd[0]} makes it one" if seen.open_labels else "")
            raise UserError(message)
        return self._desk.label(shown.lane, shown.item, given, self._note)


def _labels(seen: models.Desk) -> list[str | tuple[str, str]]:
    parts: list[str | tuple[str, str]] = []
    for one in seen.choices:
        parts += [(f"[{one.key}] ", "bold") if one.key else "", f"{one.name}   "]
    return parts or ["no label so far: =LABEL makes one"]


def _elsewhere(seen: models.Desk) -> list[str]:
    found = [f"--lane {one.name} ({one.waiting})" for one in seen.lanes if one.waiting]
    return [f"Elsewhere: {', '.join(found)}" if found else f"{seen.progress.words}. New articles are placed within seconds."]


def _read_answers(desk: Desk) -> None:
    """Answer each line of standard input with one of what came of it; exit code 2 where one was refused, and the others stay."""
    from daemon.labelling import lines  # noqa: PLC0415 - heavy

    refused = 0
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            if not isinstance(said, dict):
                message = "it is no JSON object"
                raise UserError(message)  # noqa: TRY301 - told as every other refusal
            told = lines.answer(desk, said)
            result: dict[str, Any] = {"line": number, "done": told.done, "said": told.words}
        except (UserError, ValueError, RecursionError) as error:
            result = {"line": number, "done": False, "said": str(error)}
        refused += not result["done"]
        sys.stdout.write(printable(json.dumps(result, ensure_ascii=False)) + "\n")
        sys.stdout.flush()
    if refused:
        raise typer.Exit(_ENDS)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "nobody"
