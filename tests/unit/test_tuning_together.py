"""Several processes that tune one model: who learns from which rows, what each has, and how the run ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import UserError
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_task
from trainers import hardware
from trainers.job import run as job_run
from trainers.job import spec as job_spec
from trainers.job.passing import OTHERS_LOST, cause_that_passes
from trainers.job.several import launching, results, shares
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.tuning.batches import GroupedByLength, Share
from trainers.learners.tuning.processes import ALONE, Processes, here


def order(folder: Path, *, memory_limit_mib: int = 0, **training: Any) -> JobSpec:
    task = load_task(SHIPPED_TASKS_DIR / "news-topics.yaml")
    limits = {"device": "cpu", "precision": "fp32", "threads": 4, "memory_limit_mib": memory_limit_mib}
    return JobSpec(
        run_id="r1", task=task.model_copy(update={"training": task.training.model_copy(update=training)}), full=True,
        training=load_settings().training.model_copy(update=limits), training_set=folder / "set", run_dir=folder,
        champion=None, champion_version=None, batch_size=32,
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=70),
    batch=st.integers(1, 9),
    accumulation=st.integers(1, 3),
    count=st.integers(2, 4),
)
def test_processes_share_every_batch_and_learn_each_row_once(
    lengths: list[int], batch: int, accumulation: int, count: int
) -> None:
    def rows() -> GroupedByLength:
        return GroupedByLength(batch * accumulation, lengths, seed=3)

    alone = list(rows())
    assert sorted(alone) == list(range(len(lengths)))
    taken = [list(Share(rows(), batch, Processes(rank, count))) for rank in range(count)]
    assert {len(each) for each in taken} == {len(Share(rows(), batch, Processes(0, count)))}, "all take every step"
    for number, together in enumerate(zip(*taken, strict=True)):
        assert all(together), "nobody is without a row"
        told = [row for share in together for row in share if row >= 0]
        assert sorted(told) == sorted(alone[number * batch : (number + 1) * batch])


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=90), parts=st.integers(1, 4))
def test_the_rows_of_a_step_do_not_depend_on_how_many_batches_make_it(lengths: list[int], parts: int) -> None:
    orders = []
    for _times in range(2):
        made = GroupedByLength(4 * parts, lengths, seed=1)
        made.set_epoch(2)
        orders.append(list(made))
    assert orders[0] == orders[1]
    assert lengths[orders[0][0]] == max(lengths), "the longest first: memory runs out at once or not at all"


def test_without_the_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert here() == ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "r1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert (here(), here().first) == (Processes(3, 4), False)


def test_threads_and_memory_are_shared(tmp_path: Path) -> None:
    given_order = json.loads(order(tmp_path, memory_limit_mib=4_000, processes=2).model_dump_json())
    share = shares.share_of(given_order, Processes(1, 2))
    assert (share["training"]["threads"], share["training"]["memory_limit_mib"]) == (2, 2_000)
    assert shares.share_of(given_order, Processes(0, 9))["training"]["threads"] == 1
    assert given_order["training"]["threads"] == 4


def test_only_a_run_that_tunes_starts_several(tmp_path: Path) -> None:
    def wanted(refresh: bool = False, **training: Any) -> int:
        made = json.loads(order(tmp_path, processes=2, **training).model_copy(update={"refresh": refresh}).model_dump_json())
        return shares.wanted(made)

    assert (wanted(), wanted(tuning="never"), wanted(refresh=True)) == (2, 1, 1)
    older = json.loads(order(tmp_path).model_dump_json())
    del older["task"]["training"]["processes"]
    assert shares.wanted(older) == 1, "an order of the release before"


def test_more_processes_than_cores_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 2)
    launching._refuse_too_many(order(tmp_path), 2)
    with pytest.raises(UserError, match=r"training\.processes is 3, and this machine has 2 cores"):
        launching._refuse_too_many(order(tmp_path), 3)


def failed(status: Any, error: str) -> JobResult:
    return JobResult(run_id="r1", status=status, error=error)


LOST = failed("try_later", f"{OTHERS_LOST}: Connection closed by peer")


@pytest.mark.parametrize(
    ("codes", "first", "beside", "status", "said"),
    [
        ({}, failed("failed", "the loss is not a number"), {}, "failed", "not a number"),
        ({1: -signal.SIGKILL}, LOST, {}, "out_of_memory", "process 2 of 2 was killed by SIGKILL"),
        ({0: 5, 1: 3}, LOST, {1: failed("out_of_memory", "process 2 of 2: no memory")}, "out_of_memory", "process 2 of 2: no"),
        ({1: 1}, failed("stopped", "by SIGTERM"), {1: failed("failed", "process 2 of 2: no rows")}, "failed", "no rows"),
        ({1: 7}, failed("stopped", "by SIGTERM"), {}, "try_later", "process 2 of 2 ended with code 7"),
        ({1: 7}, None, {}, "try_later", "process 2 of 2 ended with code 7 and left no result"),
        ({0: 3}, failed("out_of_memory", "no memory"), {}, "out_of_memory", "no memory"),
    ],
)  # fmt: skip
def test_a_run_ends_by_what_made_the_first_process_fail(  # noqa: PLR0917 - a table
    tmp_path: Path, codes: Any, first: JobResult | None, beside: dict[int, JobResult], status: str, said: str
) -> None:
    for rank, result in beside.items():
        results.write(result, tmp_path, rank)
    found = launching._found(order(tmp_path), first, codes, 2)
    assert found.status == status
    assert said in (found.error or "")
    results.forget(tmp_path)
    assert results.worst(tmp_path) is None


def test_a_crash_counts_as_out_of_memory_where_memory_is_limited(tmp_path: Path) -> None:
    for limit, status in ((0, "try_later"), (500, "out_of_memory")):
        assert launching._found(order(tmp_path, memory_limit_mib=limit), None, {1: -signal.SIGSEGV}, 2).status == status


def test_the_worst_of_the_others_is_told_and_a_torn_file_is_none(tmp_path: Path) -> None:
    results.write(failed("failed", "a"), tmp_path, 1)
    results.write(failed("out_of_memory", "b"), tmp_path, 2)
    (tmp_path / "result-3.json").write_text("{")
    worst = results.worst(tmp_path)
    assert worst is not None
    assert worst.error == "b"
    assert job_spec.read_result(tmp_path) is None, "theirs is never taken for the run's"


def test_a_process_that_misses_the_others_is_no_cause(tmp_path: Path) -> None:
    class DistBackendError(RuntimeError):
        """As torch names nccl's."""

    for error in (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"), DistBackendError("NCCL")):
        assert cause_that_passes(error) == OTHERS_LOST

        def work(error: Exception = error) -> JobResult:
            raise error

        assert job_run.lost_others(job_run.outcome_of(order(tmp_path), work))
    assert not job_run.lost_others(failed("failed", "no rows"))
