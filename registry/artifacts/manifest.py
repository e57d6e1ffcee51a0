"""The manifests of published artifacts as the registry reads them, and what it refuses to publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import RunFailedError
from perennial_artifact import manifest
from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import MANIFEST_FILE, Manifest


def read(folder: Path, artifact_id: str, sha256: str) -> Manifest:
    """Return the manifest in `folder` if its hash is `sha256`. Raises `RunFailedError`."""
    with _usable(artifact_id):
        return manifest.read(folder, sha256=sha256)


def verify(folder: Path, artifact_id: str, sha256: str) -> None:
    """Read every byte in `folder`. Raises `RunFailedError` naming the file that is missing, changed or in excess."""
    with _usable(artifact_id):
        manifest.verify(folder, sha256=sha256)


def publishable(source: Path) -> set[str]:
    """Return the files of a model folder. Raises `RunFailedError` when it is empty, or holds a pickle, a link or a manifest."""
    if not source.is_dir():
        message = f"there is no model folder {source} to publish"
        raise RunFailedError(message)
    try:
        names = manifest.regular_files(source)
    except UnusableError as error:
        message = f"{source}: {error}; nothing was published"
        raise RunFailedError(message) from None
    if not names:
        message = f"the model folder {source} is empty; training wrote no model"
        raise RunFailedError(message)
    if MANIFEST_FILE in names:
        message = f"{source} already contains a {MANIFEST_FILE}; the registry writes that file. Save the model without it"
        raise RunFailedError(message)
    for name in sorted(names):
        if manifest.is_pickle(source / name):
            message = (
                f"{source}: {name} is a pickle, or named like one, and loading a pickle runs whatever is in it; nothing was "
                "published. Save weights as safetensors (or spaCy's own format, or ONNX) and keep checkpoints out of this folder"
            )
            raise RunFailedError(message)
    return names


@contextmanager
def _usable(artifact_id: str) -> Iterator[None]:
    try:
        yield
    except UnusableError as error:
        message = (
            f"artifact {artifact_id} is damaged: {error}. It is not loaded; the model in use keeps answering. "
            "Restore the folder from a backup, or roll back to another version"
        )
        raise RunFailedError(message) from None
