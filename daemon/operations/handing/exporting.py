"""A version's files for other programs, in a folder of their own, with a card that says what it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from config.errors import UserError
from config.settings import Settings
from daemon.operations.handing import formats, licences
from daemon.operations.published import folder_of
from perennial_artifact.apart import has_adapter
from perennial_artifact.description import describe
from registry.reports import model_card
from registry.reports.model_card import README_FILE, UNKNOWN, Handed
from registry.store import Registry
from trainers.learners import opening


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    version: str
    folder: Path
    format: str
    merged: bool
    """Whether an adapter was added to the weights."""
    licence: str | None
    """Of the base model; None where nobody names it."""
    size_bytes: int


def export(
    settings: Settings, registry: Registry, name: str, folder: Path, *, as_format: str | None = formats.AS_PUBLISHED,
    called: str | None = None,
) -> Exported:  # fmt: skip
    """Write a version into `folder`, which is new or empty; either all of it is there afterwards or nothing.

    `as_format` None: the plainest. `called` is how the card names the model to whoever opens it: by default, the folder. Raises
    `UserError` for a version whose files are gone, a folder with content, a format that is not for such a model, or a disk that
    is full; `RunFailedError` for files of no use.
    """
    folder = folder.resolve()
    if folder == Path.cwd():
        message = "the folder that you are in cannot be replaced by an export; name one that does not exist"
        raise UserError(message)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = f"{folder} exists and is not an empty folder; name one that does not exist"
        raise UserError(message)
    published = folder_of(settings, registry, name)
    building = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(building, ignore_errors=True)
    with opening.usable():
        opening.quieten()
        chosen = formats.find(as_format, name, published)
        described = describe(published)
        licence = licences.licence_of(described, published)
        usage = chosen.usage(described)
        if called is not None and chosen.opens_folders:
            # What opens this format takes no name of the Hub.
            fetched = f'\nfrom huggingface_hub import snapshot_download\n\nfolder = snapshot_download("{called}")\n'
            usage = fetched + usage.replace('"MODEL/', 'f"{folder}/').replace('"MODEL"', "folder")
        usage = usage.replace("MODEL", called or folder.name)
        handed = Handed(described, chosen.name, chosen.library, licence, licences.base_id(described), usage)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            chosen.write(published, building)
            (building / README_FILE).write_text(model_card.readme(registry, name, handed), encoding="utf-8")
            building.replace(folder)
        except (OSError, SafetensorError) as error:
            message = f"{name} could not be written to {folder}: {error}. Nothing is left there; make room or name another place"
            raise UserError(message) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    known = None if licence == UNKNOWN else licence
    return Exported(name, folder, chosen.name, has_adapter(published), known, size)
