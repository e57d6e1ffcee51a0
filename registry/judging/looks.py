"""How often each held-out row has been used in a comparison: a row used too often no longer separates candidates."""

from __future__ import annotations

import math
from collections.abc import Collection

import sqlalchemy as sa

from registry.database.engine import Database, insert_many, portions
from registry.database.schema import looks
from registry.leases import check_token


class Looks:
    """Counts, per task and row, the runs that were compared on it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, task: str, example_ids: Collection[str]) -> dict[str, int]:
        """Return for each of `example_ids` the number of runs that looked at it; 0 where none did."""
        counts = dict.fromkeys(example_ids, 0)
        with self._database.read() as connection:
            for some in portions(list(counts)):
                query = (
                    sa.select(looks.c.example_id, sa.func.count())
                    .where(looks.c.task == task, looks.c.example_id.in_(some))
                    .group_by(looks.c.example_id)
                )
                counts.update({example_id: int(number) for example_id, number in connection.execute(query)})
        return counts

    def next_number(self, task: str, example_ids: Collection[str]) -> int:
        """Return which look the next one at these rows is, 1 for the first: by the mean over the rows, rounded up."""
        seen = self.count(task, example_ids)
        return 1 + (math.ceil(sum(seen.values()) / len(example_ids)) if example_ids else 0)

    def record(self, task: str, run_id: str, example_ids: Collection[str], *, fencing_token: int | None = None) -> None:
        """Count one comparison of this run on each row; a run repeated after a crash is not counted twice."""
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            known = set(connection.execute(sa.select(looks.c.example_id).where(looks.c.run_id == run_id)).scalars())
            rows = [{"run_id": run_id, "example_id": example_id, "task": task} for example_id in sorted(set(example_ids) - known)]
            insert_many(connection, looks, rows)
