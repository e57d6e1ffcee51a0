"""What apps that answer in their own process fetch: the champion's particulars, a version's manifest and files; keywords."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from config.errors import RetryError, RunFailedError, UserError
from daemon.serving.http import errors, schemas
from daemon.serving.http.errors import ApiError
from daemon.serving.http.refusals import GUARDED, declared
from daemon.serving.models import loading as models
from daemon.serving.models.slot import Slot
from daemon.serving.service import Service
from perennial_artifact.keywords import version_of
from perennial_artifact.manifest import MANIFEST_FILE, Manifest
from registry.artifacts import manifest as manifests
from registry.artifacts.open import open_store
from registry.artifacts.protocol import ArtifactStore
from registry.versions import Version
from trainers.learners import opening

_FOLLOW = "ask /v1/tasks/{task}/champion for the version to use"
_RANGE_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_ETAG = {"ETag": {"description": "The SHA-256 of the whole file.", "schema": {"type": "string"}}}
_MANIFEST = {
    "description": "The manifest as it was published.",
    "headers": _ETAG,
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_FILE = {"description": "The whole file.", "headers": _ETAG, "content": {"application/octet-stream": _BYTES}}
_PART = {
    "description": "The range, or the ranges, that the header Range names.",
    "headers": _ETAG,
    "content": {"application/octet-stream": _BYTES, "multipart/byteranges": _BYTES},
}
_UNCHANGED = {"description": "The caller already has it (If-None-Match)."}

IfNoneMatch = Annotated[str | None, Header()]


def add(app: FastAPI, service: Service, slot_of: Callable[[str], Slot]) -> None:
    """Add the addresses to `app`; `slot_of` returns a task's slot or refuses."""
    artifacts = open_store(service.settings.artifacts_dir)

    @app.get("/v1/tasks/{task}/champion", responses=declared(*GUARDED, "not_found", "no_champion"))
    def champion(task: str) -> schemas.ChampionView:
        """Tell which version is the task's champion, and what an app needs to fetch and run it."""
        slot = slot_of(task)
        with _registry_readable():
            alias = service.registry.versions.champion(task)
            if alias is None:
                raise errors.no_champion(task)
            version = service.registry.versions.get(alias.version)
        try:
            described = opening.described(artifacts.folder(version.artifact_id))
        except RunFailedError as error:
            raise _damaged(str(error)) from None
        return schemas.ChampionView(
            task=task,
            version=version.name,
            generation=alias.generation,
            since=alias.moved_at,
            kind=described.kind,
            backend=described.backend,
            format=described.format,
            precision=models.precision(service.settings, described.backend),
            abstain_below=slot.spec.abstain_below,
            manifest_sha256=version.manifest_sha256,
            size_bytes=version.size_bytes,
        )

    @app.get("/v1/tasks/{task}/keywords", responses=declared(*GUARDED, "not_found"))
    async def keywords(task: str) -> schemas.KeywordsView:
        """Send the keywords that answer for a task while it has no champion."""
        found = slot_of(task).spec.keywords
        if found is None:
            message = f"task: the file of task {task!r} lists no keywords"
            raise ApiError(404, message, "wait for a champion, or list keywords in the task file", field="task")
        return schemas.KeywordsView(task=task, version=version_of(task), keywords=found.as_json())

    @app.get(
        "/v1/models/{task}/{number}/manifest",
        response_class=Response,
        responses={200: _MANIFEST, 304: _UNCHANGED, **declared(*GUARDED, "not_found", "gone", "bad_range")},
    )
    def manifest(task: str, number: str, if_none_match: IfNoneMatch = None) -> Response:
        """Send the manifest of version `task/number`: every file's path, size and SHA-256."""
        version, folder, _manifest = _opened(service, artifacts, f"{task}/{number}")
        return _file(folder / MANIFEST_FILE, version.manifest_sha256, if_none_match, media_type="application/json")

    @app.get(
        "/v1/models/{task}/{number}/files/{path:path}",
        response_class=Response,
        responses={200: _FILE, 206: _PART, 304: _UNCHANGED, **declared(*GUARDED, "not_found", "gone", "bad_range")},
    )
    def download_file(task: str, number: str, path: str, if_none_match: IfNoneMatch = None) -> Response:
        """Send one file that the manifest of version `task/number` names, or the range of it that is asked for."""
        version, folder, manifest = _opened(service, artifacts, f"{task}/{number}")
        # Only what the manifest names is ever looked up, so no path leads out of the folder; nor does a link put there.
        if (entry := manifest.files.get(path)) is None:
            message = f"path: version {version.name} has no file {path[:200]!r}"
            raise ApiError(404, message, f"its files are those of /v1/models/{version.name}/manifest", field="path")
        found = folder / path
        if found.resolve() != folder.resolve() / path or not found.is_file() or found.stat().st_size != entry.size_bytes:
            message = f"file {path} of {version.name} is not the one that was published; it is not sent"
            raise _damaged(message)
        return _file(found, entry.sha256, if_none_match, media_type="application/octet-stream")


def _opened(service: Service, artifacts: ArtifactStore, name: str) -> tuple[Version, Path, Manifest]:
    """Return a version, its folder and its checked manifest."""
    with _registry_readable():
        try:
            version = service.registry.versions.get(name)
        except UserError:
            message = f"version: there is no version {name[:200]!r}"
            raise ApiError(404, message, f"/v1/models lists them; {_FOLLOW}", field="version") from None
        try:
            folder = artifacts.folder(version.artifact_id)
            return version, folder, manifests.read(folder, version.artifact_id, version.manifest_sha256)
        except RunFailedError as error:
            # Its files may have been collected since the record was read.
            version = service.registry.versions.get(name)
            if version.collected_at is None:
                raise _damaged(str(error)) from None
    message = f"version: the files of {name} were removed at {version.collected_at.isoformat()}"
    raise ApiError(410, message, f"{_FOLLOW}; registry.keep_versions says how many older ones are kept", field="version")


def _damaged(message: str) -> ApiError:
    return ApiError(500, message, "tell the operator: restore the artifact from a backup, or roll back", field="version")


@contextmanager
def _registry_readable() -> Iterator[None]:
    try:
        yield
    except RetryError as error:
        raise ApiError(503, str(error), "ask again in a moment", headers={"Retry-After": "2"}) from None


def _file(path: Path, sha256: str, if_none_match: str | None, *, media_type: str) -> Response:
    headers = {"ETag": f'"{sha256}"'}
    if if_none_match is not None and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    return _Download(path, stat_result=path.stat(), headers=headers, media_type=media_type)


class _Download(FileResponse):
    """A file or ranges of it; a range that cannot be had is refused in the shape that every refusal has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, the ranges, or the refusal."""
        refusal: ApiError | None = None

        async def unless_refused(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in _RANGE_REFUSALS:
                size = self.headers["content-length"]
                refusal = ApiError(
                    message["status"], f"Range: it names no bytes of this file, which has {size}",
                    "send Range: bytes=FIRST-LAST within the file, or none", field="Range",
                    headers={"Content-Range": f"bytes */{size}"},
                )  # fmt: skip
            if refusal is None:
                await send(message)

        await super().__call__(scope, receive, unless_refused)
        if refusal is not None:
            await refusal.response()(scope, receive, send)
