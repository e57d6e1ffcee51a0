"""`perennial topics`: the Kafka topics that Perennial uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from consumers.log.kafka.topics import TopicState

app = typer.Typer(help="The Kafka topics: create and list them.", no_args_is_help=True)


@app.command()
def create(
    partitions: Annotated[
        int, typer.Option(help="Partitions of each new topic. One leader reads them all; more only help producers.", min=1)
    ] = 1,
    replication_factor: Annotated[
        int, typer.Option(help="Brokers that keep a copy of each event; 3 if there are three.", min=1, max=10)
    ] = 1,
    update: Annotated[bool, typer.Option("--update", help="Also correct the settings of existing topics.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the missing topics, with retention and sizes from the settings. Removes nothing."""
    from consumers.log.kafka import topics  # noqa: PLC0415 - loads Kafka's client

    settings = load_settings()
    states = topics.create_missing(settings, partitions=partitions, replication_factor=replication_factor, update=update)
    _show(states, as_json=as_json)
    if not as_json and not update and any(state.differs for state in states):
        console.print("`perennial topics create --update` corrects the settings that differ")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the topics, and settings of theirs that differ from what they should be."""
    from consumers.events import schemas as events  # noqa: PLC0415 - heavy
    from consumers.log.kafka import topics  # noqa: PLC0415 - loads Kafka's client

    states = topics.describe(load_settings())
    _show(states, as_json=as_json)
    missing = [name for name in events.TOPICS if name not in {state.name for state in states}]
    if missing and not as_json:
        say(f"missing: {', '.join(missing)}; create them with `perennial topics create`")


def _show(states: Sequence[TopicState], *, as_json: bool) -> None:
    if as_json:
        print_json(states)
        return
    rows = [
        (
            state.name,
            "created" if state.created else "exists",
            state.partitions,
            state.replicas,
            "; ".join(state.differs),
        )
        for state in states
    ]
    table("Topics", ("topic", "state", "partitions", "replicas", "differs"), rows)
