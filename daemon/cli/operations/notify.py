"""`perennial notify`: who is told what happens."""

from __future__ import annotations

import typer

from daemon.cli.output import AsJson, print_json, table
from daemon.cli.settings import load_settings

app = typer.Typer(help="Notifications by webhook, Slack and e-mail.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `test` a command of its own, though it is the only one."""


@app.command("test")
def trial(as_json: AsJson = False) -> None:
    """Send a trial notification to every channel that is set up; exit code 1 where one does not take it."""
    from daemon.operations.notifying import try_channels  # noqa: PLC0415 - heavy

    tried = try_channels(load_settings())
    if as_json:
        print_json(tried)
    else:
        table("Channels", ("channel", "sent", "problem"), [(one.channel, one.sent, one.problem or "") for one in tried])
    raise typer.Exit(0 if all(one.sent for one in tried) else 1)
