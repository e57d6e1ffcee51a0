"""What a host's robots.txt allows, asked once a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

_KEPT = timedelta(days=1)


class Robots:
    """The rules of the hosts that were asked. `read` returns a robots.txt, None where a host has none; it raises `RetryError`."""

    def __init__(
        self,
        agent: str,
        read: Callable[[str], bytes | None],
        clock: Callable[[], datetime],
        known: dict[str, tuple[datetime, RobotFileParser]],
    ) -> None:
        """`known`: rules that were read before, by scheme and host; it is added to."""
        self._agent = agent
        self._read = read
        self._clock = clock
        self._known = known

    def allow(self, url: str) -> bool:
        """Return whether a host lets this agent read an address. Raises `RetryError` where its rules cannot be read now."""
        return self._rules(url).can_fetch(self._agent, url)

    def delay_s(self, url: str) -> float:
        """Return the seconds that a host asks for between two requests; 0 where it asks for none."""
        asked = self._rules(url).crawl_delay(self._agent)
        return float(asked) if asked is not None else 0.0

    def _rules(self, url: str) -> RobotFileParser:
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        known = self._known.get(host)
        if known is None or self._clock() - known[0] > _KEPT:
            rules = RobotFileParser()
            content = self._read(f"{host}/robots.txt")
            rules.parse((content or b"").decode("utf-8", "replace").splitlines())
            known = self._known[host] = (self._clock(), rules)
        return known[1]
