"""What every benchmark shares: its arguments, the machine's description, the JSON file and the table on the terminal."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
"""The real sets; a benchmark that needs one says so and ends when it is missing."""

LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate", "spacy", "lancedb", "pyarrow", "numpy", "fastapi")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_CPUINFO = Path("/proc/cpuinfo")


def parser(description: str) -> ArgumentParser:
    """Return a parser with the two arguments of every benchmark: `--quick` and `--json FILE`."""
    arguments = ArgumentParser(description=description)
    arguments.add_argument("--quick", action="store_true", help="a smaller measurement, under 3 minutes on 2 cores")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write arguments, machine and results to FILE")
    return arguments


def data(relative: str) -> Path:
    """Return the path of a file of the real sets. Raises SystemExit saying where it is looked for."""
    path = DATA_DIR / relative
    if not path.exists():
        message = f"this benchmark reads {relative}, which is looked for in {DATA_DIR}; put the data there and run it again"
        raise SystemExit(message)
    return path


def machine() -> dict[str, Any]:
    """Return what a reader needs to judge a figure: processor, cores, memory, accelerator, system, versions and load.

    Holds no host name and no path.
    """
    model, features = _processor()
    return {
        "cpu": model,
        "cpu_features": features,
        "cores_usable": _usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerator": _accelerator(),
        "os": _operating_system(),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
        "threads_set": {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ},
        "load_1m": round(psutil.getloadavg()[0], 2),
    }


def write(name: str, arguments: Namespace, results: Mapping[str, Any], path: Path | None) -> None:
    """Print the results as a table and, where `path` is given, write them as JSON with arguments and machine."""
    described = machine()
    show(name, results, described)
    if path is None:
        return
    report = {
        "benchmark": name,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": {key: value for key, value in vars(arguments).items() if key != "json" and not isinstance(value, Path)},
        "machine": described,
        "results": results,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def show(name: str, results: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Print results as a table, one line per figure; nested results are indented by their dotted name."""
    table = Table(title=f"benchmarks.{name}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for key, value in _flat(results):
        table.add_row(key, f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value))
    console = Console()
    console.print(table)
    console.print(_caption(described), highlight=False)


def _flat(results: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in results.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _caption(described: Mapping[str, Any]) -> str:
    accelerator = f", {described['accelerator']}" if described["accelerator"] else ""
    return f"{described['cpu']}, {described['cores_usable']} cores{accelerator}, load {described['load_1m']}"


def _processor() -> tuple[str, list[str]]:
    """Return the processor's name and which vector extensions that matter here it has (Linux tells both)."""
    if not _CPUINFO.exists():
        return platform.processor() or platform.machine(), []
    lines = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in _CPUINFO.read_text().splitlines())}
    flags = lines.get("flags", "").split()
    return lines.get("model name", platform.machine()), [feature for feature in _CPU_FEATURES if feature in flags]


def _usable_cores() -> int:
    """Return the cores this process may run on, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _accelerator() -> str | None:
    import torch  # heavy, and only asked for once a benchmark has ended

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _operating_system() -> str:
    if platform.system() != "Linux":
        return f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({platform.machine()})"
    except OSError:
        return f"Linux ({platform.machine()})"


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
