"""Files found by their content: named again, copied where there are no second names, never passed on damaged."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from perennial_artifact.manifest import MANIFEST_FILE, File, Manifest, unchecked
from perennial_artifact.sharing import Held

CONTENT = b"weights" * 1_000


def version(folder: Path, content: bytes = CONTENT) -> Path:
    """A version of one file, `weights`."""
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(content)
    (folder / MANIFEST_FILE).write_bytes(Manifest("t", 1, {"weights": wanted("weights", content)}).to_bytes())
    return folder


def wanted(name: str, content: bytes = CONTENT) -> File:
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


def test_a_held_file_gets_a_second_name_whatever_it_is_called(tmp_path: Path) -> None:
    held = Held([version(tmp_path / "v1")])
    target = tmp_path / "new" / "encoder" / "model"
    assert held.holds(wanted("encoder/model"))
    assert held.place(wanted("encoder/model"), target)
    assert target.stat().st_ino == (tmp_path / "v1" / "weights").stat().st_ino


def test_what_is_not_held_is_said_so(tmp_path: Path) -> None:
    held = Held([version(tmp_path / "v1")])
    assert not held.holds(wanted("weights", b"other"))
    assert not held.place(wanted("weights", b"other"), tmp_path / "new")
    assert not held.may_hold(5)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [b"torn", b"WEIGHTS" * 1_000])
def test_a_damaged_file_is_left_where_it_is_and_another_version_has_it(tmp_path: Path, damage: bytes) -> None:
    first, second = version(tmp_path / "v1"), version(tmp_path / "v2")
    (first / "weights").write_bytes(damage)
    assert not Held([first]).place(wanted("weights"), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert Held([first, second]).place(wanted("weights"), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == CONTENT
    assert (first / "weights").read_bytes() == damage


def test_a_link_is_no_file_of_a_version(tmp_path: Path) -> None:
    first = version(tmp_path / "v1")
    (tmp_path / "outside").write_bytes(CONTENT)
    (first / "weights").unlink()
    (first / "weights").symlink_to(tmp_path / "outside")
    assert not Held([first]).place(wanted("weights"), tmp_path / "new")
    assert not (tmp_path / "new").is_symlink()


@pytest.mark.parametrize("reason", [errno.EMLINK, errno.EPERM, errno.EXDEV])
def test_where_there_are_no_second_names_the_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    def refused(*_names: object, **_options: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refused)
    assert Held([version(tmp_path / "v1")]).place(wanted("weights"), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == CONTENT
    assert (tmp_path / "new").stat().st_nlink == 1


def test_a_manifest_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    first = version(tmp_path / "v1")
    for content in (b"", b"{}", b'{"format_version": 1, "task": "t", "number": 1, "files": {"../x": {}}}'):
        (first / MANIFEST_FILE).write_bytes(content)
        assert unchecked(first) == {}
        assert not Held([first, tmp_path / "nowhere"]).holds(wanted("weights"))
