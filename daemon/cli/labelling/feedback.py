"""`perennial feedback`: what waits for a person, decisions, what became of one answer, and who is trusted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from config.errors import UserError
from config.words import counted
from daemon.cli import completing
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.views.feedback.overview import FeedbackFate

app = typer.Typer(help="Review quarantined feedback, and look up what became of feedback.", no_args_is_help=True)

_EXCERPT_CHARS = 200
_OfTask = Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only of this task.", autocompletion=completing.tasks)]
_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Event ids of the feedback.")]
_User = Annotated[str | None, typer.Option("--user", help="All feedback of this user so far.")]
_TaskOfAlarm = Annotated[str | None, typer.Option("--task", help="The task of --alarm.")]
_Why = Annotated[str, typer.Option("--why", help="Reason, kept in the history for good: write no user's name or id into it.")]
_Alarm = Annotated[str | None, typer.Option("--alarm", help="All that this label-flip alarm holds, such as 'sport -> economy'.")]


@app.command()
def quarantine(
    task: _OfTask = None,
    limit: Annotated[int, typer.Option(help="At most this many, oldest first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List feedback that waits for a person, and open label-flip alarms."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.views.feedback import overview as views  # noqa: PLC0415 - only the commands that list need it

    settings = load_settings()
    tasks = load_tasks(settings.tasks_folder)
    with opening.buffer(settings, tasks) as buffer:
        found = views.quarantine(buffer, tasks, task, limit)
    if as_json:
        print_json(found)
        return
    for alarm in found.alarms:
        say(
            ("ALARM", "bold red"),
            f" {alarm.task}: {counted(alarm.held, 'correction')} by {counted(alarm.users, 'user')} change {alarm.move}, since "
            f"{alarm.since:%Y-%m-%d %H:%M} UTC. Decide with "
            f"`perennial feedback accept --task {alarm.task} --alarm {shlex.quote(alarm.move)}`, or reject.",
        )
    rows = [
        (
            one.event_id,
            one.task,
            f"{one.user_id} ({one.source})" if one.source else one.user_id,
            f"alarm: {one.alarm}" if one.standing == "alarm" else one.standing,
            _says(one.target),
            _excerpt(one.text),
            one.arrived_at,
        )
        for one in found.feedback
    ]
    table("Quarantined feedback", ("id", "task", "user", "reason", "answer", "text", "arrived (UTC)"), rows)


def _decides(decision: Literal["accept", "reject"], what: str) -> None:
    """Add the command of a decision; `what` is its help."""

    def command(
        identifiers: _Ids = None, user: _User = None, task: _TaskOfAlarm = None, alarm: _Alarm = None,
        why: _Why = "decided by hand",
    ) -> None:  # fmt: skip
        from daemon.operations import reviews  # noqa: PLC0415 - heavy
        from registry.people.audit import By  # noqa: PLC0415 - heavy

        about = reviews.About(identifiers or (), user=user, task=task, alarm=alarm)
        runs = reviews.decide(load_settings(), decision, about, By(ACTOR, why))
        when = "the daemon applies it within seconds" if runs else "no daemon is running, the next one applies it"
        say(f"{decision}ed; {when}")

    app.command(decision, help=what)(command)


_decides("accept", "Allow feedback to train despite caps, trust or other users; a label on the same text still wins over it.")
_decides("reject", "Exclude feedback from training permanently; each rejected correction lowers the trust in its user.")


@app.command()
def show(identifier: Annotated[str, typer.Argument(metavar="ID", help="The event id.")], as_json: AsJson = False) -> None:
    """Show what became of one label or feedback event, and why."""
    from daemon.views.feedback import fates  # noqa: PLC0415 - heavy

    settings = load_settings()
    with fates.opened(settings) as answers:
        found = answers.of(identifier)
    if found is None:
        message = f"no feedback {identifier!r} in {settings.data_dir}; use the event_id of its 202 answer"
        raise UserError(message)
    if as_json:
        print_json(found)
        return
    say((found.status, "bold"), f" {found.task}: {found.reason}")
    for step, told in _steps(found):
        say((f"{step}: ", "faint"), told)


@app.command()
def corrections(
    task: _OfTask = None, limit: Annotated[int, typer.Option(help="Show at most this many.", min=1)] = 50, as_json: AsJson = False
) -> None:
    """List corrections that answer for their own texts until a champion has learnt them; `reject` ends one."""
    from config.tasks import load_tasks  # noqa: PLC0415 - heavy
    from daemon.views.feedback.corrections import Answers  # noqa: PLC0415 - heavy
    from registry.artifacts.open import open_store  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = Answers(registry, open_store(settings.artifacts_dir), load_tasks(settings.tasks_folder)).in_force(task, limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.event_id, one.task, _says(one.target), one.answers_since, one.answers) for one in found]
    table("Corrections in force", ("id", "task", "says", "since (UTC)", "answers now"), rows, empty="no trusted correction")


@app.command()
def users(
    task: _OfTask = None,
    limit: Annotated[int, typer.Option(help="At most this many, least trusted first.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List users by trust, lowest first: how often they agreed with independent labels."""
    from daemon.views.feedback import overview as views  # noqa: PLC0415 - only the commands that list need it

    settings = load_settings()
    with opening.buffer(settings) as buffer:
        found = views.users(buffer, settings, task, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.contributor, one.task, f"{one.trust:.2f}", "yes" if one.excluded else "", one.agreed or "", one.unearned or "",
         one.contradicted or "", one.answers, one.effective or "")
        for one in found
    ]  # fmt: skip
    columns = ("user", "task", "trust", "excluded", "agreed", "unearned", "disagreed", "answers", "in use")
    table("Users", columns, rows)


def _steps(fate: FeedbackFate) -> list[tuple[str, str]]:
    """Return how far it has come, in words: whether it answers, what has learnt it, whether that is live."""
    answered = "no"
    if fate.answers_since is not None:
        until = "it answers for its own text now" if fate.answers else "the live model has learnt it and answers"
        answered = f"since {fate.answers_since:%Y-%m-%d %H:%M:%S} UTC; {until}"
    live = f"yes, in {fate.champion}" if fate.in_champion else "no"
    return [("answered", answered), ("learnt", f"in {fate.learnt_in}" if fate.learnt_in else "not yet"), ("live", live)]


def _says(target: Mapping[str, Any]) -> str:
    from config.kinds import catalog as kinds  # noqa: PLC0415 - heavy

    return _excerpt(kinds.of(target).in_words(target))


def _excerpt(text: str) -> str:
    """Return the text on one line, shortened."""
    words = " ".join(text.split())
    return words if len(words) <= _EXCERPT_CHARS else words[: _EXCERPT_CHARS - 1] + "…"
