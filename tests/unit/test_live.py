"""A live part of a page ends by itself, so that its page is admitted anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from starlette.responses import StreamingResponse

from daemon.dashboard.live import Live, Parts


async def looked(parts: Parts) -> Mapping[str, str]:
    return parts()


async def received(live: Live, parts: Parts) -> list[bytes]:
    answer = live.stream(parts, looked)
    assert isinstance(answer, StreamingResponse)
    return [bytes(piece) async for piece in answer.body_iterator]  # type: ignore[arg-type]  # it sends bytes


@pytest.mark.parametrize("life_s", [0.0, 0.05])
def test_a_stream_ends_by_itself_and_is_closed(life_s: float) -> None:
    live, looks = Live(every_s=0.01, life_s=life_s), [0]

    def parts() -> Mapping[str, str]:
        looks[0] += 1
        return {"loop": f"look {looks[0]}"}

    pieces = asyncio.run(received(live, parts))
    assert pieces[0].startswith(b"retry: ")
    assert pieces[-1].startswith(b"event: bye\n"), "the page is told that it ends by intent"
    assert len(pieces) == 2 + looks[0]
    assert (looks[0] > 0) == (life_s > 0)
    assert live.open == 0


def test_a_stream_that_the_server_ends_says_no_bye() -> None:
    live = Live(every_s=0.01)

    def parts() -> Mapping[str, str]:
        live.stop()
        return {"loop": "a look"}

    pieces = asyncio.run(received(live, parts))
    assert [piece.partition(b"\n")[0] for piece in pieces[1:]] == [b"event: loop"]
