"""An app that follows a champion and says which version answers: `python follower.py URL TASK CACHE`."""

from __future__ import annotations

import sys

from perennial_client import Client, Model, Retries


def main() -> None:
    """Follow until a model is there, print its version."""
    url, task, cache = sys.argv[1:]
    with (
        Client(url, retries=Retries(deadline_s=1.0)) as client,
        Model.follow(task, client=client, cache_dir=cache, poll_s=0.05, wait_s=60) as model,
    ):
        sys.stdout.write(f"{model.version}\n")


if __name__ == "__main__":
    main()
