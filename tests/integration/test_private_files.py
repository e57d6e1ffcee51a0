"""Whatever the umask, nobody but the installation's user reads its files; a folder that may not be written in says so."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import UserError
from config.files import private
from config.settings import load_settings
from consumers.dead_letters.store import DeadLetters
from consumers.log.embedded.log import EmbeddedLog
from daemon.operations.doctor import machine
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from tests.support.buffers import article, enrich, label, opened, stored

NOBODY = 65_534


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*")) if not path.is_symlink()}


@pytest.mark.usefixtures("open_umask")
def test_all_that_is_made_is_for_its_user_alone_whatever_the_umask_was(tmp_path: Path) -> None:
    private.keep_private()
    data = tmp_path / "data"
    private.prepare(data)
    with opened(data / "buffer") as buffer:
        buffer.insert(stored(label("l-1"), article("a-1")))
        enrich(buffer)
    with closing(EmbeddedLog(data / "events.db", retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        sink.publish("t", b"x")
        sink.flush()
    DeadLetters(data / "dead.db").close()
    with Registry.open(f"sqlite:///{data / 'registry.db'}"):
        pass
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"w")
    LocalArtifacts(data / "artifacts").publish("topics", 1, tmp_path / "model")
    assert modes(data) <= {0o700, 0o600}
    assert list(private.exposed(data)) == []


@pytest.mark.usefixtures("open_umask")
def test_what_an_earlier_version_left_open_is_fixed_and_told_of(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (data / "buffer").mkdir(parents=True)
    (data / "registry.db").write_bytes(b"hashes")
    elsewhere.write_bytes(b"not ours")
    (data / "link").symlink_to(elsewhere)
    told = machine.data_folder(load_settings(data_dir=data), {})
    assert (told.level, str(data / "registry.db") in told.found) == ("warning", True)
    assert private.restrict(data) == 3
    assert modes(data) == {0o700, 0o600}
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o666, "a link leads elsewhere"
    assert private.restrict(data) == 0
    assert machine.data_folder(load_settings(data_dir=data), {}).level == "ok"


@pytest.mark.usefixtures("open_umask")
def test_the_command_line_keeps_files_private_too(tmp_path: Path) -> None:
    done = run(tmp_path / "data", "keys", "create", "app", "--scope", "predict")
    assert done.returncode == 0, done.stderr
    assert modes(tmp_path / "data") <= {0o700, 0o600}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A data folder that the user of `run(..., ordinary=True)` may read and not write in."""
    data = tmp_path / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, NOBODY, NOBODY)
    data.chmod(0o755 if os.geteuid() == 0 else 0o500)
    yield data
    data.chmod(0o700)


def without_roots_rights() -> None:
    """In a child before its program starts: root without these capabilities is refused like any other user."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def run(data: Path, *arguments: str, ordinary: bool = False) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PERENNIAL_DATA_DIR": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    before = without_roots_rights if ordinary and os.geteuid() == 0 else None
    return subprocess.run(
        [sys.executable, "-m", "daemon", *arguments], capture_output=True, text=True, check=False, timeout=300, env=environment,
        cwd=Path(__file__).parents[2], preexec_fn=before,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="root's rights are taken away by Linux's capabilities")
@pytest.mark.parametrize("command", [["run", "--no-serve"], ["serve"]])
def test_a_read_only_data_folder_gives_an_ordinary_user_a_clear_message(read_only: Path, command: list[str]) -> None:
    done = run(read_only, *command, ordinary=True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    told = " ".join(done.stderr.split())
    assert f"{read_only}" in told
    assert "Permission denied. Nothing was changed. Run as the user that owns the data folder" in told
    assert list(read_only.iterdir()) == []


def test_only_a_refusal_is_the_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(OSError, match="No space"):
        private.prepare(tmp_path)
    monkeypatch.setattr(Path, "touch", lambda _path: (_ for _ in ()).throw(OSError(30, "Read-only file system", "x")))
    with pytest.raises(UserError, match=r"Read-only file system\. Nothing was changed"):
        private.prepare(tmp_path)
