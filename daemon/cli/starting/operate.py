"""Commands that start processes: run, serve, demo, doctor."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

import typer
from rich.text import Text

from config import collector
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(run)
    app.command("serve")(serve_)
    app.command()(dashboard)
    app.command()(demo)
    app.command()(doctor)


def run(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Also start the serving process.")] = True,
) -> None:
    """Run the daemon: ingest, training and serving. Ctrl-C or SIGTERM stops it, SIGHUP reloads the task files."""
    from config.addresses import page_address  # noqa: PLC0415 - heavy
    from config.logging import configure_logging, mask_crashes  # noqa: PLC0415 - heavy
    from config.secrets import secrets_of  # noqa: PLC0415 - heavy

    settings = load_settings()
    if serve and settings.serving.port:
        # First, before the log begins; with a free port (0) the log tells the address.
        say(f"Page: {page_address(settings.serving)}")
        sys.stdout.flush()
    secrets = secrets_of(settings)
    configure_logging(settings.log, secrets=secrets)
    mask_crashes(secrets)
    with collector.resting():
        from daemon import app  # noqa: PLC0415 - heavy
    # Libraries stay as long as the process: no later look at garbage need go through them.
    gc.freeze()

    exit_code = app.run(settings, serve=serve)
    # All is closed. Taking the interpreter down under torch's and LanceDB's threads took 4 s of the time a stop has.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def serve_() -> None:
    """Answer predictions and accept feedback, without training. Always serves the champion of the registry."""
    from config.settings import environment_of  # noqa: PLC0415 - heavy

    settings = load_settings()
    from daemon.process.supervision import PROGRAM  # noqa: PLC0415 - needed here only

    # The very process that the daemon starts as its child.
    os.execve(sys.executable, [sys.executable, *PROGRAM], os.environ | environment_of(settings))  # noqa: S606 - our own module


def dashboard(
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default that of serving.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.", min=0, max=65_535)] = 8311,
) -> None:
    """Show the web page by itself, read-only; the page of serving (`perennial run`) can do more. Ctrl-C stops it."""
    from config.settings import environment_of  # noqa: PLC0415 - heavy

    settings = load_settings()
    serving = {"port": port, **({} if host is None else {"host": host})}
    shown = settings.model_copy(update={"serving": settings.serving.model_copy(update=serving)})
    program = ("-P", "-m", "daemon.serving.alone")
    os.execve(sys.executable, [sys.executable, *program], os.environ | environment_of(shown))  # noqa: S606 - our own module


def demo(
    seed: Annotated[int, typer.Option(help="Random seed of the generated news.")] = 20,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's data folder and print its path.")] = False,
) -> None:
    """Show the whole loop on generated news: training, drift, retraining, comparison, promotion. It ends on its own."""
    from daemon.demo import show  # noqa: PLC0415 - heavy

    raise typer.Exit(show.run(seed=seed, keep=keep))


def doctor(as_json: AsJson = False) -> None:
    """Check this installation and say what to fix."""
    from daemon.operations.doctor.examine import examine  # noqa: PLC0415 - heavy

    findings = examine()
    if as_json:
        print_json(findings)
    else:
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[bold red]problem[/]"}
        rows = [(Text.from_markup(marks[finding.level]), finding.check, finding.found, finding.remedy) for finding in findings]
        table("Checks", ("", "check", "found", "what to do"), rows)
    raise typer.Exit(1 if any(finding.level == "problem" for finding in findings) else 0)
