"""`perennial feedback`: what waits for a person, the decision about it, what became of one answer, and who is trusted."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import typer

from config.errors import UserError
from config.kinds import catalog as kinds
from config.settings import load_settings
from config.words import counted
from daemon.cli.output import AsJson, print_json, say, table
from daemon.views import opening

app = typer.Typer(help="Feedback that waits for a person, and what becomes of it.", no_args_is_help=True)

_EXCERPT_CHARS = 200
_OfTask = Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only of this task.")]
_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Feedback by its event ids.")]
_User = Annotated[str | None, typer.Option("--user", help="All that this user has sent so far.")]
_TaskOfAlarm = Annotated[str | None, typer.Option("--task", help="The task of --alarm.")]
_Alarm = Annotated[str | None, typer.Option("--alarm", help="All that this label-flip alarm holds, such as 'sport -> economy'.")]


@app.command()
def quarantine(
    task: _OfTask = None,
    limit: Annotated[int, typer.Option(help="Oldest so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List feedback that waits for a person, with its text, what it says and who says so, and the alarms that are up."""
    from daemon.views import feedback as views  # noqa: PLC0415 - only the commands that list need it

    settings = load_settings()
    with opening.buffer(settings) as buffer:
        found = views.quarantine(buffer, settings, task, limit)
    if as_json:
        print_json(found)
        return
    for alarm in found.alarms:
        say(
            ("ALARM", "bold red"),
            f" {alarm.task}: {counted(alarm.held, 'correction')} of {counted(alarm.users, 'user')} say {alarm.move}, since "
            f"{alarm.since:%Y-%m-%d %H:%M} UTC. Decide with "
            f"`perennial feedback accept --task {alarm.task} --alarm {shlex.quote(alarm.move)}`, or reject.",
        )
    rows = [
        (
            one.event_id,
            one.task,
            f"{one.user_id} ({one.source})" if one.source else one.user_id,
            f"alarm: {one.alarm}" if one.standing == "alarm" else one.standing,
            _excerpt(kinds.of(one.target).told(one.target)),
            _excerpt(one.text),
            one.arrived_at,
        )
        for one in found.feedback
    ]
    table("Quarantined feedback", ("id", "task", "user", "because", "says", "of the text", "arrived (UTC)"), rows)


def _decides(decision: Literal["accept", "reject"], what: str) -> None:
    """Add the command of a decision; `what` is its help."""

    def command(identifiers: _Ids = None, user: _User = None, task: _TaskOfAlarm = None, alarm: _Alarm = None) -> None:
        from daemon.operations import reviews  # noqa: PLC0415 - heavy

        about = reviews.About(identifiers or (), user=user, task=task, alarm=alarm)
        runs = reviews.decide(load_settings(), decision, about)
        when = "the running daemon applies it within seconds" if runs else "no daemon is running; the next one applies it"
        say(f"{decision}ed, durably: {when}")

    app.command(decision, help=what)(command)


_decides("accept", "Let feedback train, whatever caps, trust or other users say; a label on the same text still wins over it.")
_decides("reject", "Keep feedback from training for good; each rejected correction counts against its user.")


@app.command()
def show(identifier: Annotated[str, typer.Argument(metavar="ID", help="The event id.")], as_json: AsJson = False) -> None:
    """Tell what became of one label or feedback event, and why."""
    from daemon.views import fates  # noqa: PLC0415 - heavy

    settings = load_settings()
    with fates.opened(settings) as answers:
        found = answers.of(identifier)
    if found is None:
        message = f"no feedback {identifier!r} is known in {settings.data_dir}; use the event_id of its 202 answer"
        raise UserError(message)
    if as_json:
        print_json(found)
        return
    say((found.status, "bold"), f" {found.task}: {found.reason}")


@app.command()
def users(
    task: _OfTask = None,
    limit: Annotated[int, typer.Option(help="Least trusted so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List who gave feedback, the least trusted first: how often they agreed with labels given without looking at a model."""
    from daemon.views import feedback as views  # noqa: PLC0415 - only the commands that list need it

    settings = load_settings()
    with opening.buffer(settings) as buffer:
        found = views.users(buffer, settings, task, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.contributor, one.task, f"{one.trust:.2f}", "yes" if one.excluded else "", one.agreed, one.unearned,
         one.contradicted, one.answers, one.effective)
        for one in found
    ]  # fmt: skip
    columns = ("user", "task", "trust", "excluded", "agreed", "agreed, not earned", "contradicted", "answers", "effective")
    table("Users", columns, rows)


def _excerpt(text: str) -> str:
    """Return what anybody may have written as one line that is not too long."""
    words = " ".join(text.split())
    return words if len(words) <= _EXCERPT_CHARS else words[: _EXCERPT_CHARS - 1] + "…"
