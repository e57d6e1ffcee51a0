"""Whatever is published and removed in whatever order, every version that is left is whole, and nothing else takes room."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from perennial_artifact.manifest import MANIFEST_FILE
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.protocol import Published

# Few names and contents, so that versions share files, under the same name and under others.
NAMES = st.permutations(["a", "b/c", "b/d"])
CONTENTS = st.lists(st.sampled_from([b"", b"1", b"2", b"33"]), min_size=1, max_size=3, unique=True)
FOLDERS = st.builds(lambda names, contents: dict(zip(names, contents, strict=False)), NAMES, CONTENTS)
STEPS = st.lists(st.one_of(st.tuples(st.sampled_from(["t", "u"]), FOLDERS), st.integers(0, 5)), max_size=12)


@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_versions_share_files_and_lose_none(steps: list[tuple[str, dict[str, bytes]] | int]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "artifacts"
        store = LocalArtifacts(root)
        present: list[tuple[Published, dict[str, bytes]]] = []
        for number, step in enumerate(steps, start=1):
            if isinstance(step, int):
                if step < len(present):
                    store.remove(present.pop(step)[0].artifact_id)
                continue
            task, content = step
            source = Path(temporary) / f"model-{number}"
            for name, data in content.items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes(data)
            present.append((store.publish(task, number, source), content))
        assert store.list() == sorted(one.artifact_id for one, _content in present)
        for one, content in present:
            folder = store.fetch(one.artifact_id, one.manifest_sha256)
            assert {name: (folder / name).read_bytes() for name in content} == content
        found = [path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST_FILE]
        assert len({path.stat().st_ino for path in found}) == len(
            {data for _one, content in present for data in content.values()}
        )
