"""An incoming webhook of Slack, or of what speaks like it (Mattermost, Rocket.Chat, Discord's /slack)."""

from __future__ import annotations

import json

from daemon.notifications.notice import Notice
from daemon.notifications.posting import post


class Slack:
    """Posts each notice as a line in bold and a paragraph."""

    name = "slack"

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """Post one notice, as `Channel.send`."""
        body = json.dumps({"text": f"*{_plain(notice.title)}*\n{_plain(notice.text)}"}, ensure_ascii=False).encode()
        post(self._url, body, {"content-type": "application/json"}, what="notifications.slack_url")


def _plain(text: str) -> str:
    """Return text that mentions nobody and links nowhere: labels and errors may hold what strangers wrote."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
