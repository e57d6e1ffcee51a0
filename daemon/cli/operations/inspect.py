"""Commands that only show something: tasks, config, schema."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from config.errors import UserError
from config.files.durable import write_atomic
from config.words import counted
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings

tasks_app = typer.Typer(help="List the defined tasks with their labels and policies.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.add_typer(tasks_app, name="tasks")
    app.command()(config)
    app.command()(schema)


@tasks_app.callback()
def tasks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the defined tasks with their labels and policies."""
    if context.invoked_subcommand is not None:
        return
    from daemon.views import tasks as views  # noqa: PLC0415 - only this needs it

    settings = load_settings()
    defined = views.defined(settings)
    if as_json:
        print_json(defined)
        return
    say((f"{counted(len(defined), 'task')} in {settings.tasks_folder}", "dim"))
    for task in defined:
        say("\n", (task.name, "bold"), f"  {task.description}")
        for about, words in views.in_words(task).items():
            say(f"  {about:<9} {words}", indent=12)


@tasks_app.command()
def kinds(as_json: AsJson = False) -> None:
    """List the kinds of task there are: what each finds, where it is learnt, what decides, what an import needs."""
    from daemon.views.kinds import kinds as every  # noqa: PLC0415 - only this needs it

    load_settings()  # they may name modules that bring kinds of task
    found = every()
    if as_json:
        print_json(found)
        return
    for kind in found:
        say((kind.name, "bold"), f"  {kind.about}")
        say(f"  backend   {' or '.join(kind.backends)}", indent=12)
        say(f"  metric    {' or '.join(kind.metrics)}", indent=12)
        say(f"  columns   {', '.join(('text', *kind.columns))}", indent=12)
        if kind.refreshed_on:
            say(f"  refresh   the head, between runs (on {' and '.join(kind.refreshed_on)})", indent=12)


def config(as_json: AsJson = False) -> None:
    """Show the effective settings and where each comes from. Secrets are masked."""
    from daemon.views.installation.settings import in_force  # noqa: PLC0415 - only this needs it

    found = in_force(load_settings())
    if as_json:
        print_json(found)
        return
    table("Settings", ("key", "value", "source"), [(key, _toml(one.value), one.source) for key, one in found.items()])


def schema(
    output: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Folder to write one file per schema; by default all are printed.")
    ] = None,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="Print the AsyncAPI document of all topics instead.")] = False,
) -> None:
    """Print the JSON Schemas of the events, or write them to a folder."""
    from consumers.events import async_api, json_schemas  # noqa: PLC0415 - heavy

    load_settings()  # they may name modules that bring kinds of task
    if asyncapi:
        if output is not None:
            message = "--asyncapi prints one document; leave the folder out and redirect the output"
            raise UserError(message)
        print_json(async_api.document(metadata.version("perennial")))
        return
    schemas = json_schemas.json_schemas()
    if output is None:
        print_json(schemas)
        return
    for name, document in schemas.items():
        file = output / f"{name}.schema.json"
        write_atomic(file, (json.dumps(document, indent=2) + "\n").encode())
        file.chmod(0o644)  # for the apps, which need not run as this user
    say(f"{len(schemas)} schemas written to {output}")


def _toml(value: object) -> str:
    """Return a value as a settings file has it: text between quotes, true, false."""
    from daemon.views.view import as_json  # noqa: PLC0415 - heavy

    return json.dumps(as_json(value), ensure_ascii=False)
