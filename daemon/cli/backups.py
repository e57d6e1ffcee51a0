"""Commands about backups: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.settings import load_settings
from daemon.cli.output import AsJson, print_json, say

if TYPE_CHECKING:
    from daemon.operations.backups.manifest import Backup


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(backup)
    app.command()(restore)


def backup(
    folder: Annotated[Path, typer.Argument(help="New folder for the backup; it appears whole or not at all.")],
    link_to: Annotated[
        Path | None, typer.Option(help="An earlier backup: files that are the same are linked to it and take no room.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the whole installation into FOLDER, consistently and checked, while it runs."""
    settings = load_settings()
    from daemon.operations.backups.take import take  # noqa: PLC0415 - heavy

    _show(take(settings, folder, link_to=link_to), folder, as_json=as_json, done="backed up")


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `perennial backup` has made.")],
    force: Annotated[bool, typer.Option("--force", help="Move aside what is in the data folder.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read every byte of the backup and say what it holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup back into an empty data folder. Every byte is checked first. Nothing may run there."""
    settings = load_settings()
    from daemon.operations.backups import restore as restoring  # noqa: PLC0415 - heavy

    if check:
        _show(restoring.check(folder), folder, as_json=as_json, done="whole")
        return
    restored = restoring.restore(settings, folder, force=force)
    replaced = str(restored.replaced) if restored.replaced is not None else None
    _show(restored.backup, folder, as_json=as_json, done="restored", replaced=replaced)
    if not as_json:
        if replaced is not None:
            say(f"what was there is in {replaced}; remove it once all is well")
        say(f"start the daemon over {settings.data_dir}; it reads again what the log holds after the backup")


def _show(found: Backup, folder: Path, *, as_json: bool, done: str, **more: Any) -> None:  # noqa: ANN401 - what JSON can hold
    if as_json:
        print_json({"folder": str(folder), "files": len(found.files), "bytes": found.size_bytes, **more, **{
            key: value for key, value in found.model_dump(mode="json").items() if key != "files"
        }})  # fmt: skip
        return
    rows = ", ".join(f"{count} {name}" for name, count in sorted(found.rows.items()) if "enrichment" not in name)
    champions = ", ".join(sorted(found.champions.values())) or "none yet"
    say(f"{done}: {folder}, {len(found.files)} files, {found.size_bytes / 2**20:.1f} MiB")
    say(f"  as of {found.begun_at:%Y-%m-%d %H:%M:%S} UTC; {rows}; champions {champions}")
    if found.backend == "kafka":
        say("  events live in Kafka and are not part of it")
    for warning in found.warnings:
        say(("  warning:", "yellow"), f" {warning}", indent=11)
