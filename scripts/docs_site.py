"""Hooks of the documentation's site: its first page is the README, and two pages are made from what the program publishes."""

from __future__ import annotations

import json
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./)+(?!\.\.)(?!decisions|runbooks|images)([^)]*)\)")
_INTO_DOCS = re.compile(r"\]\(docs/([^)]*)\)")
_IMAGE = re.compile(r'(src|srcset)="docs/')
_METHODS = ("get", "post", "put", "delete")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that no file holds."""
    made = {
        "index.md": _of_the_root("README.md"),
        "CHANGELOG.md": _of_the_root("CHANGELOG.md"),
        "CONTRIBUTING.md": _of_the_root("CONTRIBUTING.md"),
        "reference-http.md": http_reference(),
        "reference-events.md": events_reference(),
        "decisions/index.md": _listed("Decisions", "What was decided, why, and over what.", ROOT / "docs" / "decisions"),
        "runbooks/index.md": _listed("Runbooks", "What to do about each alert.", ROOT / "docs" / "runbooks"),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def _of_the_root(name: str) -> str:
    return _IMAGE.sub(r'\1="', _INTO_DOCS.sub(r"](\1)", (ROOT / name).read_text()))


def _listed(title: str, about: str, folder: Path) -> str:
    """Return a page that lists the pages of a folder by their titles."""
    lines = [f"- [{path.read_text().splitlines()[0].lstrip('# ')}]({path.name})" for path in sorted(folder.glob("*.md"))]
    return "\n".join([f"# {title}", "", about, "", *lines])


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - the hook's signature
    """Turn links to files of the source tree into their names: the site holds the documentation alone."""
    markdown = markdown.replace("](decisions/)", "](decisions/index.md)")
    return _OUTSIDE.sub(lambda link: f"{link[1]} (`{link[3]}`)" if link[3] not in link[1] else f"`{link[3]}`", markdown)


def http_reference() -> str:
    """Return every address of the HTTP interface, from its OpenAPI document."""
    document = _open_api()
    lines = ["# HTTP reference", "", "Made from `/openapi.json`. [How to use it](http-api.md).", ""]
    for path, item in document["paths"].items():
        for method in (name for name in _METHODS if name in item):
            operation = item[method]
            lines += [f"## {method.upper()} {path}", "", operation.get("description") or operation.get("summary", ""), ""]
            lines += _parameters(operation.get("parameters", ()))
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                lines += ["**Body**", "", *_fields(_resolved(schema, document))]
            lines += ["| answer | means | body |", "|---|---|---|"]
            lines += [_answer(status, answer) for status, answer in operation["responses"].items()]
            lines.append("")
    lines += ["## Bodies", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"### {name}", "", _cell(schema.get("description", "")), "", *_fields(schema)]
    return "\n".join(lines)


def events_reference() -> str:
    """Return every topic and event, from the AsyncAPI document."""
    from consumers.events import async_api  # noqa: PLC0415 - the environment's

    document = async_api.document(metadata.version("perennial"))
    lines = ["# Events reference", "", "Made from the AsyncAPI document (`perennial schema --asyncapi`). [Kafka](kafka.md).", ""]
    for topic, channel in document["channels"].items():
        lines += [f"## {topic}", "", channel["description"], ""]
        for name in channel["messages"]:
            message = document["components"]["messages"][name]
            lines += [f"### {name}", "", message["summary"], "", *_fields(message["payload"])]
    return "\n".join(lines)


def _open_api() -> dict[str, Any]:
    from config.settings import load_settings  # noqa: PLC0415 - the environment's
    from daemon.serving.http.api import create_app  # noqa: PLC0415 - as above
    from daemon.serving.service import Service  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory() as folder, Service.open(load_settings(data_dir=Path(folder))) as service:
        made: dict[str, Any] = create_app(service).openapi()
    return made


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return document["components"]["schemas"].get(name, schema) if name else schema


def _parameters(parameters: Any) -> list[str]:  # noqa: ANN401 - JSON
    if not parameters:
        return []
    rows = [
        f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {_cell(one.get('description', ''))} |" for one in parameters
    ]
    return ["| parameter | in | type | meaning |", "|---|---|---|---|", *rows, ""]


def _fields(schema: dict[str, Any]) -> list[str]:
    properties = schema.get("properties")
    if not properties:
        return [f"`{_type(schema)}`", ""]
    needed = schema.get("required", ())
    rows = [
        f"| `{name}` | {_type(one)} | {'yes' if name in needed else ''} | {_cell(one.get('description', ''))} |"
        for name, one in properties.items()
    ]
    return ["| field | type | required | meaning |", "|---|---|---|---|", *rows, ""]


def _type(schema: dict[str, Any]) -> str:
    """Return a type in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[several]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _answer(status: str, answer: dict[str, Any]) -> str:
    return f"| {status} | {_cell(answer.get('description', ''))} | {_body(answer)} |"


def _body(answer: dict[str, Any]) -> str:
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return _type(schema) if schema else ", ".join(content)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
