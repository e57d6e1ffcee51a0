"""`perennial feedback`: what waits for a person, the decision about it, what became of one answer, and who is trusted."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config.clock import utc_now
from config.errors import UserError
from config.kinds import catalog as kinds
from config.settings import Settings, load_settings
from config.tasks import load_tasks
from config.words import counted, printable
from consumers.events import schemas as events
from daemon.cli.output import AsJson, console, print_json, say, table

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from daemon.serving.feedback.fate import Fates

app = typer.Typer(help="Feedback that waits for a person, and what becomes of it.", no_args_is_help=True)

_EXCERPT_CHARS = 200
_IDS_PER_EVENT = 1_000
_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Feedback by its event ids.")]
_User = Annotated[str | None, typer.Option("--user", help="All that this user has sent so far.")]
_Task = Annotated[str | None, typer.Option("--task", help="The task of --alarm.")]
_Alarm = Annotated[str | None, typer.Option("--alarm", help="All that this label-flip alarm holds, such as 'sport -> economy'.")]


@app.command()
def quarantine(
    task: Annotated[str | None, typer.Argument(help="Only of this task.")] = None,
    limit: Annotated[int, typer.Option(help="Oldest so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List feedback that waits for a person, with its text, what it says and who says so, and the alarms that are up."""
    settings = load_settings()
    with _buffer(settings) as buffer:
        found = buffer.quarantined(task, limit)
        names = [task] if task else sorted(load_tasks(settings.tasks_folder))
        standing = {name: buffer.defence(name) for name in names}
    if as_json:
        alarms = [{"task": name, **asdict(alarm)} for name, state in standing.items() for alarm in state.alarms]
        waiting = sum(state.quarantined for state in standing.values())
        print_json({"waiting": waiting, "alarms": alarms, "feedback": [asdict(one) for one in found]})
        return
    for name, state in standing.items():
        for alarm in state.alarms:
            console.print(f"[bold red]ALARM[/] {name}: ", end="")
            say(
                f"{counted(alarm.held, 'correction')} of {counted(alarm.users, 'user')} say {alarm.move}, since "
                f"{alarm.since:%Y-%m-%d %H:%M} UTC. Decide with "
                f"`perennial feedback accept --task {name} --alarm {shlex.quote(alarm.move)}`, or reject."
            )
    rows = [
        (
            one.event_id,
            one.task,
            _cell(f"{one.user_id} ({one.source})" if one.source else one.user_id),
            _cell(f"alarm: {one.alarm}" if one.standing == "alarm" else one.standing),
            _cell(_said(one.target)),
            _cell(one.text),
            one.arrived_at,
        )
        for one in found
    ]  # fmt: skip
    table("Quarantined feedback", ("id", "task", "user", "because", "says", "of the text", "arrived (UTC)"), rows)


@app.command()
def accept(identifiers: _Ids = None, user: _User = None, task: _Task = None, alarm: _Alarm = None) -> None:
    """Let feedback train, whatever caps, trust or other users say; a label on the same text still wins over it."""
    _decide("accept", identifiers or [], user=user, task=task, alarm=alarm)


@app.command()
def reject(identifiers: _Ids = None, user: _User = None, task: _Task = None, alarm: _Alarm = None) -> None:
    """Keep feedback from training for good; each rejected correction counts against its user."""
    _decide("reject", identifiers or [], user=user, task=task, alarm=alarm)


@app.command()
def show(identifier: Annotated[str, typer.Argument(metavar="ID", help="The event id.")], as_json: AsJson = False) -> None:
    """Tell what became of one label or feedback event, and why."""
    settings = load_settings()
    with contextlib.ExitStack() as stack:
        found = _fates(settings, stack).of(identifier)
    if found is None:
        message = f"no feedback {identifier!r} is known in {settings.data_dir}; use the event_id of its 202 answer"
        raise UserError(message)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console.print(f"[bold]{found.status}[/] ", end="")
    say(f"{found.task}: {found.reason}")


@app.command()
def users(
    task: Annotated[str | None, typer.Argument(help="Only of this task.")] = None,
    limit: Annotated[int, typer.Option(help="Least trusted so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List who gave feedback, the least trusted first: how often they agreed with labels given without looking at a model."""
    settings = load_settings()
    with _buffer(settings) as buffer:
        found = buffer.users(task, settings.feedback)[:limit]
    if as_json:
        print_json([asdict(one) for one in found])
        return
    rows = [
        (
            _cell(one.contributor),
            one.task,
            f"{one.trust:.2f}",
            "yes" if one.excluded else "",
            one.agreed,
            one.unearned,
            one.contradicted,
            one.answers,
            one.effective,
        )
        for one in found
    ]  # fmt: skip
    columns = ("user", "task", "trust", "excluded", "agreed", "agreed, not earned", "contradicted", "answers", "effective")
    table("Users", columns, rows)


def _decide(
    decision: Literal["accept", "reject"], identifiers: Sequence[str], *, user: str | None, task: str | None, alarm: str | None
) -> None:
    """Publish the decision: only the leader's daemon writes the buffer, and the log keeps it until one runs."""
    if bool(identifiers) + (user is not None) + (alarm is not None) != 1 or (task is None) != (alarm is None):
        message = "name feedback by its ids, or give --user, or give --task with --alarm"
        raise UserError(message)
    settings = load_settings()
    with _buffer(settings) as buffer:
        _refuse_unknown(settings, buffer, identifiers, user=user, task=task, alarm=alarm)
    selections: list[dict[str, Any]] = [{"user_id": user} if user is not None else {"task": task, "alarm": alarm}]
    if identifiers:
        portions = [identifiers[at : at + _IDS_PER_EVENT] for at in range(0, len(identifiers), _IDS_PER_EVENT)]
        selections = [{"event_ids": tuple(portion)} for portion in portions]
    from consumers.log.open import publish  # noqa: PLC0415 - heavy
    from registry.store import Registry  # noqa: PLC0415 - heavy

    for selection in selections:
        publish(settings, events.FeedbackReview(
            event_id=f"review-{secrets.token_hex(8)}", occurred_at=utc_now(), source="perennial feedback", decision=decision,
            **selection,
        ))  # fmt: skip
    with Registry.open(settings.registry_url, read_only=True) as registry:
        leader = registry.lease.holder()
    when = "the running daemon applies it within seconds" if leader else "no daemon is running; the next one applies it"
    console.print(f"{decision}ed, durably: {when}")


def _refuse_unknown(
    settings: Settings, buffer: BufferReader, identifiers: Sequence[str], *, user: str | None, task: str | None, alarm: str | None
) -> None:
    unknown = [one for one in identifiers if buffer.feedback_fate(one) is None]
    if unknown:
        message = (
            f"no feedback {', '.join(unknown[:10])} is stored; nothing was decided. `perennial feedback quarantine` lists ids"
        )
        raise UserError(message)
    if alarm is not None:
        up = [one.move for one in buffer.defence(task or "").alarms]
        if alarm not in up:
            message = f"no alarm {alarm!r} is up for task {task!r}; nothing was decided. Up are: {', '.join(up) or 'none'}"
            raise UserError(message)
    if user is not None and not any(one.contributor.rpartition(" ")[2] == user for one in buffer.users(None, settings.feedback)):
        message = f"no judged feedback of user {user!r} is stored; nothing was decided. `perennial feedback users` lists them"
        raise UserError(message)


@contextlib.contextmanager
def _buffer(settings: Settings) -> Iterator[BufferReader]:
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy

    tasks = load_tasks(settings.tasks_folder)
    minimum = settings.enrich.min_quality
    with contextlib.closing(open_reader(settings.buffer_dir, tasks=tasks, min_quality=minimum)) as buffer:
        yield buffer


def _fates(settings: Settings, stack: contextlib.ExitStack) -> Fates:
    """Return what answers `GET /v1/feedback/{id}`, opened here."""
    from consumers.dead_letters.store import DeadLetters  # noqa: PLC0415 - heavy
    from daemon.serving.feedback.accepted import AcceptedFeedback  # noqa: PLC0415 - heavy
    from daemon.serving.feedback.fate import Fates  # noqa: PLC0415 - heavy
    from registry.store import Registry  # noqa: PLC0415 - heavy

    # First: where nothing has run there is no buffer, and nothing is made.
    buffer = stack.enter_context(_buffer(settings))
    accepted = stack.enter_context(
        contextlib.closing(AcceptedFeedback(settings.accepted_feedback_file, keep=timedelta(days=settings.events.retention_days)))
    )
    dead_letters = stack.enter_context(contextlib.closing(DeadLetters(settings.dead_letter_file)))
    registry = stack.enter_context(Registry.open(settings.registry_url, read_only=True))
    return Fates(accepted, dead_letters, registry, lambda: buffer)


def _said(target: str) -> str:
    parsed = json.loads(target)
    return kinds.of(parsed).told(parsed)


def _cell(text: str) -> str:
    """Return what anybody may have written as it can be shown: one line, not too long, and nothing that moves the terminal."""
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= _EXCERPT_CHARS else plain[: _EXCERPT_CHARS - 1] + "…"
