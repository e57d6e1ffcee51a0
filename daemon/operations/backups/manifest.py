"""The manifest of a backup: every file with its SHA-256, and what is needed to put them back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from config.errors import UserError
from config.files import durable
from consumers.log.protocols import TopicPartition
from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import regular_files

FILE_NAME = "backup.json"
# Where things lie in a backup, whatever the settings of the installation that it was taken of.
REGISTRY = "registry.db"
EVENT_LOG = "events.db"
BUFFER, ARTIFACTS, RUNS = "buffer", "artifacts", "runs"


class BackupFile(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Backup(BaseModel):
    """What a backup holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    program: str
    """Version of Perennial that took it."""
    begun_at: datetime
    completed_at: datetime
    data_dir: str
    """Where the installation was."""
    backend: Literal["embedded", "kafka"]
    """Events in Kafka are not in a backup."""
    positions: dict[str, dict[int, int]]
    """Per topic and partition, up to where its events are certainly in the buffer or among the dead letters."""
    champions: dict[str, str]
    rows: dict[str, int]
    """Of each table of the buffer."""
    warnings: tuple[str, ...] = ()
    """What was found damaged in the installation itself, and is so in the backup."""
    files: dict[str, BackupFile]

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, BackupFile]) -> dict[str, BackupFile]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name or name in ("", ".", FILE_NAME):
                message = f"{name!r} is not a plain relative path"
                raise ValueError(message)
        return files

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files.values())

    @property
    def offsets(self) -> dict[TopicPartition, int]:
        """Where the log must be read again from after a restore."""
        return {
            TopicPartition(topic, number): offset for topic, parts in self.positions.items() for number, offset in parts.items()
        }

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the manifest of the backup in `folder`. Raises `UserError` when there is none that this version can read."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            message = (
                f"{folder} is not a complete backup ({FILE_NAME} is missing); name a folder that `perennial backup` has made"
            )
            raise UserError(message) from None
        except OSError as error:
            message = f"{path} cannot be read ({error.strerror}); give this user the right to read the backup"
            raise UserError(message) from None
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            message = f"{path} is damaged, or of a newer version of Perennial ({where}: {problem['msg']}); nothing was changed"
            raise UserError(message) from None

    def verify(self, folder: Path) -> None:
        """Read every byte of the backup in `folder`. Raises `UserError` that names the file that is missing or changed."""
        try:
            found = regular_files(folder) - {FILE_NAME}
        except UnusableError as error:
            raise UserError(_damaged(folder, str(error))) from None
        for name in sorted(found ^ self.files.keys()):
            what = "is missing" if name in self.files else "is not in its manifest"
            raise UserError(_damaged(folder, f"{name} {what}"))
        for name, file in sorted(self.files.items()):
            path = folder / name
            if path.stat().st_size != file.size_bytes or durable.sha256_of_file(path) != file.sha256:
                raise UserError(_damaged(folder, f"{name} is not what was backed up (its SHA-256 differs)"))


def _damaged(folder: Path, what: str) -> str:
    return f"the backup in {folder} is damaged: {what}. Nothing was restored; use another backup"
