"""A command in a terminal of its own, recorded, and drawn as an animated SVG that needs no script and suits light and dark.

What happened long after another thing is shown soon after it: a recording is read, not waited for. The drawing is termtosvg-ng's.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

COLUMNS, ROWS = 80, 26
_LONGEST_GAP_S = 0.12
_READ_S = 1.7
"""How long a phase of the demo stays before the next begins."""
_LOOP_DELAY_MS = 8_000
_SHORTEST_FRAME_MS = 250
_HEADING = re.compile(rb"\x1b\[1;36m\d+ *\x1b\[0m")
# The drawing knows no faint text.
_FAINT, _GREY = b"\x1b[2m", b"\x1b[90m"
_TEMPLATE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" id="terminal"
 baseProfile="full" viewBox="0 0 672 344" width="672" version="1.1">
<defs>
<termtosvg:template_settings xmlns:termtosvg="https://github.com/nbedos/termtosvg">
<termtosvg:screen_geometry columns="80" rows="19"/><termtosvg:animation type="css"/>
</termtosvg:template_settings>
<style type="text/css" id="generated-style"></style>
<style type="text/css" id="user-style">
.background {fill: #f6f8fa} .foreground, .color0, .color7, .color15 {fill: #1f2328} .color8 {fill: #59636e}
.color1, .color9 {fill: #cf222e} .color2, .color10 {fill: #116329} .color3, .color11 {fill: #7d4e00}
.color4, .color12 {fill: #0550ae} .color5, .color13 {fill: #6639ba} .color6, .color14 {fill: #1b7c83}
@media (prefers-color-scheme: dark) {
.background {fill: #0d1117} .foreground, .color0, .color7, .color15 {fill: #e6edf3} .color8 {fill: #9198a1}
.color1, .color9 {fill: #ff7b72} .color2, .color10 {fill: #56d364} .color3, .color11 {fill: #e3b341}
.color4, .color12 {fill: #79c0ff} .color5, .color13 {fill: #d2a8ff} .color6, .color14 {fill: #39c5cf}
}
</style>
</defs>
<rect class="background" width="100%" height="100%" rx="6"/>
<svg id="screen" x="8" y="10" width="656" height="323" viewBox="0 0 656 323" preserveAspectRatio="xMidYMin slice"></svg>
</svg>
"""


class Recorded:
    """A command that runs in a terminal; what it writes is kept with its time."""

    def __init__(self, command: Sequence[str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._written: list[tuple[float, bytes]] = []
        self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reader.start()

    def text(self) -> str:
        """Return what was written so far, with what steers the terminal."""
        return b"".join(data for _at, data in self._written).decode(errors="replace")

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait()
        self._reader.join()
        return code

    def draw(self, path: Path) -> None:
        """Write the recording as an animated SVG."""
        cast, template = path.with_suffix(".cast"), path.with_suffix(".template")
        header = {"version": 2, "width": COLUMNS, "height": ROWS}
        cast.write_text("\n".join(json.dumps(line) for line in (header, *self._events())) + "\n", encoding="utf-8")
        template.write_text(_TEMPLATE, encoding="utf-8")
        try:
            subprocess.run(
                [
                    sys.executable, "-m", "termtosvg", "render", str(cast), str(path), "-t", str(template),
                    "-m", str(_SHORTEST_FRAME_MS), "-D", str(_LOOP_DELAY_MS),
                ],
                check=True,
            )  # fmt: skip
        finally:
            cast.unlink()
            template.unlink(missing_ok=True)

    def _events(self) -> Iterator[tuple[float, str, str]]:
        shown = before = 0.0
        unread = b""
        for at, data in self._written:
            shown += min(at - before, _LONGEST_GAP_S) + (_READ_S if _HEADING.search(data) else 0.0)
            before = at
            whole = (unread + data).decode(errors="ignore")
            unread = (unread + data)[len(whole.encode()) :]
            yield round(shown, 3), "o", whole.replace(_FAINT.decode(), _GREY.decode())

    def _read(self, terminal: int) -> None:
        began = time.monotonic()
        while True:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # the other end is closed
                data = b""
            if not data:
                os.close(terminal)
                return
            self._written.append((time.monotonic() - began, data))
