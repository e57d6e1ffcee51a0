"""`perennial oracle`: labels by a language model, after its prompt has been judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from config.words import counted
from daemon.cli import completing
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from consumers.labelling.oracle.calibration.verdict import NameFigures, Share
    from consumers.labelling.oracle.ledger import Spent
    from daemon.operations.oracle.labelling import Calibrated

app = typer.Typer(help="Labels by a language model, after its prompt was judged on samples.", no_args_is_help=True)

_Task = Annotated[str, typer.Argument(metavar="TASK", help="Task whose rubric is used.", autocompletion=completing.tasks)]
_EXIT_NOT_PASSED = 1


@app.command()
def calibrate(task: _Task, as_json: AsJson = False) -> None:
    """Judge a task's rubric: PASS, REVIEW or FAIL with reasons, on a sample, and where it passes on a fresh one. Labels nothing.

    Ends with 1 where the prompt may not label.
    """
    settings = load_settings()
    from daemon.operations.oracle import labelling  # noqa: PLC0415 - heavy

    with _bar(task, as_json=as_json) as progress:
        found = labelling.calibrate(settings, task, progress)
    if as_json:
        print_json(found)
    else:
        for one in found.samples:
            _show(one)
        if found.fresh_before is not None:
            say(f"fresh sample: {found.fresh_before.verdict}, judged before with this prompt; another prompt gets another one")
        _say_spent(found.spent)
        if found.may_label:
            say(("The prompt may label", "green"), f": `perennial oracle label {task} --most N`.")
        else:
            say(("The prompt may not label yet.", "yellow"), " Change the rubric in the task file, and calibrate again.")
    if not found.may_label:
        raise typer.Exit(_EXIT_NOT_PASSED)


@app.command()
def label(  # noqa: PLR0917 - each is an option of the command
    task: _Task,
    most: Annotated[int, typer.Option("--most", metavar="N", help="Label at most this many articles, the newest first.", min=1)],
    again: Annotated[
        bool, typer.Option("--again", help="Also articles that another prompt labelled; the new labels replace those.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Label although the prompt has not passed; this is recorded.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask by the endpoint's batch API, which may take a day and cost less.")
    ] = False,
    give_up_batch: Annotated[
        bool, typer.Option("--give-up-batch", help="Wait for no batch that was sent before; its questions count at their most.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Label articles that nobody has labelled, with origin `oracle`: they train, and never test. Run again, it goes on."""
    settings = load_settings()
    from daemon.operations.oracle import labelling  # noqa: PLC0415 - heavy

    with _bar(task, as_json=as_json) as progress:
        made = labelling.label(
            settings, task, most, force=force, again=again, batch=batch, give_up_batch=give_up_batch, progress=progress
        )
    if as_json:
        print_json(made)
        return
    if made.forced:
        say(("Forced", "yellow"), ": the prompt has not passed both samples, and that is recorded.")
    told = f"{counted(made.labelled, 'label')} by the language model"
    told += f", {made.cached:,} of them paid for before" if made.cached else ""
    say(
        f"{made.task}: {told}. Handed to the daemon; follow with `perennial status`."
        if made.labelled
        else f"{made.task}: no label."
    )
    if made.batch is not None:
        one = made.batch
        unknown = f", {counted(one.unknown, 'line')} of no question" if one.unknown else ""
        say(
            f"by batches: {one.answered:,} of {counted(one.asked, 'question')} answered, {one.failed:,} failed{unknown}", indent=2
        )
    if made.withdrawn:
        say(f"{counted(made.withdrawn, 'label')} of other prompts withdrawn for these", indent=2)
    if made.others:
        told = f"{counted(made.others, 'label')} of other prompts stand: --again labels their texts anew, and"
        say(f"{told} `perennial oracle withdraw {made.task} --prompt HASH` takes them back", indent=2)
    if made.labelled and made.belief.factor < 1:
        told = f"{made.belief.right} of {made.belief.of} answers agree with people, and it states {made.belief.stated:.2f}"
        say(f"its confidence counts for {made.belief.factor:.0%}: {told}", indent=2)
    if made.refused:
        what = ", ".join(f"{name} {count:,}" for name, count in made.refused.items())
        say(f"{counted(sum(made.refused.values()), 'text')} without a usable answer ({what})", indent=2)
    if made.stopped:
        say(("stopped: ", "yellow"), f"{made.stopped}. Run the same command to go on.", indent=2)
    _say_spent(made.spent)


@app.command()
def prompts(task: _Task, as_json: AsJson = False) -> None:
    """Show by which prompts the stored labels of a task were made, and how many of each stand."""
    settings = load_settings()
    from daemon.operations.oracle import handing_over  # noqa: PLC0415 - heavy

    found = handing_over.prompts(settings, task)
    if as_json:
        print_json(found)
        return
    rows = [(one.prompt, f"{one.labels:,}", f"{one.withdrawn:,}", "yes" if one.in_force else "") for one in found]
    if rows:
        table("", ("prompt", "labels", "withdrawn", "in force"), rows)
    else:
        say(f"{task}: no label by a language model is stored.")


@app.command()
def withdraw(
    task: _Task,
    prompt: Annotated[str, typer.Option("--prompt", metavar="HASH", help="The prompt, as `perennial oracle prompts` tells it.")],
    as_json: AsJson = False,
) -> None:
    """Take back all labels of a prompt: they train no more. What has learnt from them stays, and says so."""
    settings = load_settings()
    from daemon.operations.oracle import handing_over  # noqa: PLC0415 - heavy

    found = handing_over.withdraw(settings, task, prompt)
    if as_json:
        print_json(found)
    elif found.labels:
        say(f"{task}: {counted(found.labels, 'label')} of prompt {found.prompt} withdrawn. Handed to the daemon.")
    else:
        say(f"{task}: all labels of prompt {found.prompt} are withdrawn already.")
    if found.unread and not as_json:
        told = f"{counted(found.unread, 'event')} waited for the daemon before that; labels of the prompt among them stand. "
        say((told, "yellow"), "Run this again once `perennial status` shows that none waits.", indent=2)


@app.command()
def check(
    task: _Task,
    most: Annotated[int, typer.Option("--most", metavar="N", help="Ask about at most this many texts, the newest first.", min=1)],
    force: Annotated[bool, typer.Option("--force", help="Ask although the prompt has not passed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask about texts that test and that people labelled, and score the answers. No label comes of it.

    Reports of later runs set oracle, student and people side by side on these rows.
    """
    settings = load_settings()
    from daemon.operations.oracle import checking  # noqa: PLC0415 - heavy

    with _bar(task, as_json=as_json) as progress:
        found = checking.check(settings, task, most, force=force, progress=progress)
    if as_json:
        print_json(found)
        return
    say(checking.in_words(found))
    if found.refused:
        what = ", ".join(f"{name} {count:,}" for name, count in found.refused.items())
        say(f"{counted(sum(found.refused.values()), 'text')} without a usable answer ({what})", indent=2)
    if found.stopped:
        say(("stopped: ", "yellow"), f"{found.stopped}. Run the same command to go on.", indent=2)
    elif found.unasked:
        say(f"{counted(found.unasked, 'held-out text')} not asked about", indent=2)
    say(f"The report of the next run (`perennial report {task}/vN`) sets oracle, student and people side by side.", indent=2)
    _say_spent(found.spent)


def _show(one: Calibrated) -> None:
    found, colour = one.judgement, {"PASS": "green", "REVIEW": "yellow", "FAIL": "red"}[one.judgement.verdict]
    sizes = ", ".join(f"{stratum} {count}" for stratum, count in found.strata.items())
    say(f"{one.name} sample: ", (found.verdict, f"bold {colour}"), f" ({sizes}; sorted by {one.sorted_by}; seed {one.seed})")
    for reason in found.reasons:
        say(reason, indent=2)
    table("", ("name", "said", "by rules", "recall", "precision", "error"), map(_row, found.names))
    for example in found.examples:
        say((f"{example.stratum}: {example.why}", "bold"), f"  {' '.join(one.excerpts[example.text_sha256].split())}", indent=2)
        if example.said is not None:
            say(f"oracle {dict(example.said)}; expected {example.expected}", indent=4)


def _row(one: NameFigures) -> tuple[str, ...]:
    error = "" if one.error is None else f"{one.error:.0%} of the range"
    return one.name, f"{one.said:,}", _told(one.by_rules), _told(one.recall), "" if error else _told(one.precision), error


def _told(share: Share) -> str:
    return f"{share.value:.0%} of {share.of}" if share.of else ""


def _say_spent(spent: Spent) -> None:
    say(f"spent on this task so far: {counted(spent.requests, 'request')}, {spent.tokens:,} tokens, {spent.cost:.4f}")


@contextmanager
def _bar(task: str, *, as_json: bool) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal, transient=True) as bar:
        line = bar.add_task(f"{task}: asking", total=None)
        yield lambda done, of: bar.update(line, completed=done, total=of)
