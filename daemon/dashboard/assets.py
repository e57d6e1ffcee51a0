"""The page's own files: style, scripts, and what is vendored; each is asked for under the hash of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


class Assets:
    """All files that the page may load, read once."""

    def __init__(self) -> None:
        self._files: Mapping[str, bytes] = {
            path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in sorted(FOLDER.rglob("*")) if path.suffix in _TYPES
        }
        self._versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()}

    def url(self, name: str) -> str:
        """Return the address of a file. Raises `KeyError` for one that is not there."""
        return f"/ui/static/{name}?v={self._versions[name]}"

    def response(self, name: str) -> Response | None:
        """Return a file; None when there is none of this name."""
        content = self._files.get(name)
        if content is None:
            return None
        kind = _TYPES[Path(name).suffix]
        return Response(content, media_type=kind, headers={"Cache-Control": _FOR_EVER, "ETag": f'"{self._versions[name]}"'})
