"""The command line: `perennial COMMAND`. Heavy libraries load inside the commands, so that help is quick."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from config.errors import PerennialError, UserError
from config.files.private import keep_private, refusal
from daemon.cli.data import dead_letters, importing, source, topics
from daemon.cli.data import group as data
from daemon.cli.labelling import correcting, feedback, labels, oracle, review, weak
from daemon.cli.models import anchors, evaluating, handing, lineage, verifying
from daemon.cli.models import versions as models
from daemon.cli.operations import backups, erasure, history, inspect, keys, notify, status, top
from daemon.cli.output import Console, say
from daemon.cli.starting import bootstrap, init, operate
from daemon.cli.training import explaining, pausing, report, runs, simulating, train

EXIT_FAILED = 1
EXIT_USER_ERROR = 2

app = typer.Typer(
    name="perennial",
    help="Keep news NLP models up to date: take events in, retrain, compare, and promote only what is better.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"perennial {metadata.version('perennial')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for group in (
    init,
    operate,
    bootstrap,
    train,
    pausing,
    importing,
    weak,
    evaluating,
    verifying,
    runs,
    report,
    history,
    models,
    handing,
    labels,
    review,
    correcting,
    status,
    explaining,
    simulating,
    top,
    inspect,
    erasure,
    backups,
):
    group.register(app)
app.add_typer(data.app, name="data")
app.add_typer(source.app, name="source")
app.add_typer(oracle.app, name="oracle")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(topics.app, name="topics")
app.add_typer(keys.app, name="keys")
app.add_typer(feedback.app, name="feedback")
app.add_typer(notify.app, name="notify")
app.add_typer(lineage.app, name="lineage")
app.add_typer(anchors.app, name="anchor")


def main() -> None:
    """Run the command line; a user's mistake ends with a message and exit code 2, without a traceback."""
    keep_private()
    errors = Console(stderr=True, highlight=False)

    def tell(kind: str, error: PerennialError) -> None:
        from config.secrets import masked_message  # noqa: PLC0415 - heavy

        say((f"{kind}:", "bold red"), f" {masked_message(error)}", on=errors)

    try:
        app()
    except UserError as error:
        tell("error", error)
        sys.exit(EXIT_USER_ERROR)
    except PerennialError as error:
        tell("failed", error)
        sys.exit(EXIT_FAILED)
    except PermissionError as error:
        tell("failed", UserError(refusal(error, "a file")))
        sys.exit(EXIT_FAILED)
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) has gone; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # A file or a disk that nobody foresaw: what it says is enough for whoever typed the command.
        tell("failed", UserError(str(error)))
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
