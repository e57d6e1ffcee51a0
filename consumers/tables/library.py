"""Imports LanceDB without the REST client that comes with it: half of the second that the import takes.

LanceDB imports `lance_namespace` for the types of a catalog service, and that imports a generated client for such a service: a
hundred and fifty modules. Tables in a folder need its types alone. So its package is set up here with its own code not yet
run; that runs when something asks the package for a name, as it would have at first.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading

from config import collector

_REST_CLIENT = "lance_namespace_urllib3_client"


def _postpone(package: str) -> None:
    """Have a package's submodules importable without its own code, which runs when one of its names is asked for."""
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None or spec.loader is None:
        return  # imported by somebody already, or a LanceDB that does without
    loader, module, lock = spec.loader, importlib.util.module_from_spec(spec), threading.RLock()

    def find(name: str) -> object:
        # The import system asks for names of its own, such as `__file__`, of any package.
        if name.startswith("__"):
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        if importlib.util.find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
        with lock:
            # Gone before the code runs: that asks for names too, while some are not there yet.
            if module.__dict__.pop("__getattr__", None) is not None:
                loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = find
    sys.modules[package] = module


with collector.resting():
    _postpone(_REST_CLIENT)
    import lancedb

__all__ = ["lancedb"]
