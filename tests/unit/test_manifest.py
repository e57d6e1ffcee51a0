"""What is written to a disk because a manifest says so, and what is loaded: the same for the registry and for apps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import MANIFEST_FILE, parse, verify
from registry.artifacts.local import LocalArtifacts

ENTRY = {"sha256": "0" * 64, "size_bytes": 1}


def made(files: Any, **changes: Any) -> tuple[bytes, str]:
    content = json.dumps({"format_version": 1, "task": "t", "number": 1, "files": files} | changes).encode()
    return content, hashlib.sha256(content).hexdigest()


def read(content: bytes, sha256: str) -> list[str]:
    return list(parse(content, sha256=sha256).files)


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, str]:
    """A version as the registry publishes it, and its manifest's hash."""
    source = tmp_path / "model"
    (source / "vocab").mkdir(parents=True)
    (source / "vocab" / "lookups.bin").write_bytes(b"\x81\xa1a\x01")
    (source / "config.cfg").write_text("[nlp]")
    (source / "empty").touch()
    published = LocalArtifacts(tmp_path / "artifacts").publish("t", 1, source)
    return published.folder, published.manifest_sha256


def test_what_the_registry_publishes_is_read_and_verified(folder: tuple[Path, str]) -> None:
    path, sha256 = folder
    assert read((path / MANIFEST_FILE).read_bytes(), sha256) == ["config.cfg", "empty", "vocab/lookups.bin"]
    verify(path, sha256=sha256)


def test_a_manifest_that_is_not_the_one_on_record_is_refused(folder: tuple[Path, str]) -> None:
    path, sha256 = folder
    with pytest.raises(UnusableError, match="not the one on record"):
        read((path / MANIFEST_FILE).read_bytes() + b" ", sha256)


def test_every_damage_is_named(folder: tuple[Path, str], tmp_path: Path) -> None:
    path, sha256 = folder

    def refused(word: str) -> None:
        with pytest.raises(UnusableError, match=word):
            verify(path, sha256=sha256)

    config = path / "config.cfg"
    config.write_text("[NLP]")
    refused("file config.cfg is not the one that was published")
    config.write_text("[nlp] and more")
    refused("file config.cfg is not the one that was published")
    config.unlink()
    refused("file config.cfg is missing")
    (tmp_path / "outside").write_text("[nlp]")
    config.symlink_to(tmp_path / "outside")
    refused("config.cfg is a symbolic link")
    config.unlink()
    config.write_text("[nlp]")
    (path / "more").touch()
    refused("file more is not in the manifest")
    (path / "more").unlink()
    verify(path, sha256=sha256)
    (path / MANIFEST_FILE).unlink()
    refused("manifest.json is missing")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/", "a\\b", "C:\\a", "a\0b", "manifest.json"],
)
def test_no_file_is_written_outside_its_folder(name: str) -> None:
    with pytest.raises(UnusableError, match="not a plain relative path"):
        read(*made({name: ENTRY}))


@pytest.mark.parametrize("name", ["a.pkl", "m/pytorch_model.bin", "a.PT", "x.pickle", "s.ckpt", "w.pth", "j.joblib"])
def test_what_a_library_might_unpickle_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(UnusableError, match="named like a pickle"):
        read(*made({name: ENTRY}))


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    content = b"\x80\x04\x95\x00"
    (tmp_path / "weights").write_bytes(content)
    manifest, sha256 = made({"weights": {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}})
    (tmp_path / MANIFEST_FILE).write_bytes(manifest)
    with pytest.raises(UnusableError, match="file weights is a pickle"):
        verify(tmp_path, sha256=sha256)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (made({}, format_version=2), "has format 2, and this program reads 1"),
        (made([]), "cannot be read"),
        (made({"a": {}}), "cannot be read"),
        (made({"a": 3}), "cannot be read"),
        (made({"a": {"sha256": "0", "size_bytes": 1}}), "no valid SHA-256 and size"),
        (made({"a": {"sha256": "0" * 64, "size_bytes": "1"}}), "no valid SHA-256 and size"),
        (made({"a": {"sha256": "0" * 64, "size_bytes": -1}}), "no valid SHA-256 and size"),
        (made({"a": {"sha256": 3, "size_bytes": 1}}), "no valid SHA-256 and size"),
        ((b"\xff", hashlib.sha256(b"\xff").hexdigest()), "cannot be read"),
        ((b"[]", hashlib.sha256(b"[]").hexdigest()), "cannot be read"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(content: tuple[bytes, str], word: str) -> None:
    with pytest.raises(UnusableError, match=word):
        read(*content)


@given(st.text(st.sampled_from("ab./\\\0 é"), max_size=12))
def test_whatever_a_name_is_it_stays_inside(name: str) -> None:
    try:
        [accepted] = read(*made({name: ENTRY}))
    except UnusableError:
        return
    place = Path("/cache/task/v1", accepted)
    assert place.resolve().is_relative_to("/cache/task/v1")
    assert str(place) == f"/cache/task/v1/{name}"
