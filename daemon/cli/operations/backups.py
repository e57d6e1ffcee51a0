"""Commands about backups: backup, restore."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from daemon.operations.backups.manifest import Backup


_SHOWN_TABLES = frozenset({"articles", "examples", "feedback", "predictions", "requests"})
"""What arrived; the other tables hold findings about it."""


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(backup)
    app.command()(restore)


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="New folder for the backup; it appears only once it is complete.")
    ],
    link_to: Annotated[
        Path | None, typer.Option(help="An earlier backup; unchanged files are hard-linked to it and take no space.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Back up the whole installation into FOLDER while it runs, and verify the copy."""
    settings = load_settings()
    _end_in_order()
    from daemon.operations.backups.take import take  # noqa: PLC0415 - heavy

    _show(take(settings, folder, link_to=link_to), folder, as_json=as_json, done="backed up")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `perennial backup` has made.")],
    force: Annotated[bool, typer.Option("--force", help="Move the present files of the data folder aside.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only verify the backup and show what it contains.")] = False,
    as_json: AsJson = False,
) -> None:
    """Verify a backup and restore it into an empty data folder. Stop daemon and serving first."""
    settings = load_settings()
    _end_in_order()
    from daemon.operations.backups import restore as restoring  # noqa: PLC0415 - heavy

    if check:
        _show(restoring.check(folder), folder, as_json=as_json, done="verified")
        return
    restored = restoring.restore(settings, folder, force=force)
    replaced = str(restored.replaced) if restored.replaced is not None else None
    _show(restored.backup, folder, as_json=as_json, done="restored", replaced=replaced)
    if not as_json:
        if replaced is not None:
            say(f"the earlier files are in {replaced}; remove them once everything works")
        say(f"start the daemon on {settings.data_dir}; it reads the events after the backup again")


def _end_in_order() -> None:
    """Let SIGTERM, as a service's end sends it, remove what is half written."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))


def _show(found: Backup, folder: Path, *, as_json: bool, done: str, **more: Any) -> None:  # noqa: ANN401 - what JSON can hold
    if as_json:
        print_json({"folder": str(folder), "files": len(found.files), "bytes": found.size_bytes, **more, **{
            key: value for key, value in found.model_dump(mode="json").items() if key != "files"
        }})  # fmt: skip
        return
    rows = ", ".join(f"{count} {name}" for name, count in sorted(found.rows.items()) if count and name in _SHOWN_TABLES)
    champions = ", ".join(sorted(found.champions.values())) or "none yet"
    say(f"{done}: {folder}, {len(found.files)} files, {found.size_bytes / 2**20:.1f} MiB")
    say(f"  as of {found.begun_at:%Y-%m-%d %H:%M:%S} UTC", indent=2)
    say(f"  rows: {rows or 'none'}", indent=2)
    say(f"  champions: {champions}", indent=2)
    if found.backend == "kafka":
        say("  events are in Kafka and not part of the backup")
    for warning in found.warnings:
        say(("  warning:", "yellow"), f" {warning}", indent=11)
