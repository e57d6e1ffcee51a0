"""E-mail through an SMTP server."""

from __future__ import annotations

import io
import smtplib
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Literal

import structlog

from config.errors import RetryError
from config.words import counted
from daemon.notifications.channel import RefusedError
from daemon.notifications.notice import Notice

log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
_LIMIT_S = 60.0
"""No answer of a server is waited for beyond this: `_TIMEOUT_S` limits each wait, and each byte begins the next wait."""
_PERMANENT = 500
"""From this reply code on a server refuses for good (RFC 5321, section 4.2.1)."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    username: str = ""
    password: str = ""
    authorities: str = ""
    """PEM file of the authorities that may vouch for the server; empty: the system's."""


class _Answers(io.RawIOBase):
    """What a server sends, until a moment on the monotonic clock."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock = sock
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the reader around it hands in nothing else
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            message = f"it took more than {_LIMIT_S:g} s"
            raise TimeoutError(message)
        self._sock.settimeout(min(_TIMEOUT_S, left_s))
        return self._sock.recv_into(buffer)


class _InTime(smtplib.SMTP):
    """Reads what the server answers until `_LIMIT_S` after it was made."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - smtplib's own
        self._ends = time.monotonic() + _LIMIT_S
        super().__init__(*args, **options)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Answers(self.sock, self._ends))
        return super().getreply()


class _InTimeOverTls(_InTime, smtplib.SMTP_SSL):
    """The same over TLS."""


class Email:
    """Sends each notice as one message to all receivers; again only to those that the server refused for now."""

    name = "email"

    def __init__(self, server: Server, sender: str, receivers: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._receivers = list(receivers)
        self._left: tuple[str, list[str]] | None = None
        """The last notice, and who must still get it."""

    def send(self, notice: Notice) -> None:
        """Hand one message in, as `Channel.send`; whom the server refuses for good beside others is logged."""
        wanted = self._left[1] if self._left and self._left[0] == notice.event_id else self._receivers
        refused = self._handed_in(notice, wanted)
        for_good = {name: code for name, code in refused.items() if code >= _PERMANENT}
        for name, code in for_good.items():
            log.error(
                "notification.receiver_refused", channel=self.name, event_id=notice.event_id, receiver=name, code=code,
                next="it is not sent to this address again; check notifications.email_to",
            )  # fmt: skip
        for_now = [name for name in wanted if name in refused and name not in for_good]
        if for_now:
            self._left = (notice.event_id, for_now)
            message = f"the mail server refused {counted(len(for_now), 'receiver')} for now: {', '.join(for_now)}"
            raise RetryError(message)

    def _handed_in(self, notice: Notice, wanted: Sequence[str]) -> dict[str, int]:
        """Hand one message in; return whom the server refused, with its reply codes. Raises where nobody gets it."""
        try:
            with self._connected() as smtp:
                refused = smtp.send_message(self._message(notice), from_addr=self._sender, to_addrs=wanted)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise self._error(error, for_good=all(code >= _PERMANENT for code in codes)) from error
        except smtplib.SMTPResponseException as error:
            # A wrong password is mended by an operator; until then the notices wait.
            for_good = error.smtp_code >= _PERMANENT and not isinstance(error, smtplib.SMTPAuthenticationError)
            raise self._error(error, for_good=for_good) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            # ValueError: a name, password or address that mail cannot carry. It is mended by an operator too.
            raise self._error(error, for_good=False) from error
        return {name: code for name, (code, _) in refused.items()}

    def _connected(self) -> smtplib.SMTP:
        """Return a connection that is safe and, where there is a user name, signed in."""
        at, security = self._server, self._server.security
        context = None if security == "none" else ssl.create_default_context(cafile=at.authorities or None)
        if security == "tls":
            smtp: smtplib.SMTP = _InTimeOverTls(at.host, at.port, timeout=_TIMEOUT_S, context=context)
        else:
            smtp = _InTime(at.host, at.port, timeout=_TIMEOUT_S)
        try:
            if security == "starttls":
                smtp.starttls(context=context)
            if at.username:
                smtp.login(at.username, at.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"[Perennial] {notice.title}"
        message["From"] = self._sender
        message["To"] = ", ".join(self._receivers)
        message["Date"] = format_datetime(notice.occurred_at)
        # The same for each attempt: a mailbox shows a message that was sent twice once.
        message["Message-ID"] = f"<{_as_id(notice.event_id)}@perennial.invalid>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{notice.text}\n\nTask: {notice.task}\nEvent: {notice.event_id}\n")
        return message

    def _error(self, error: Exception, *, for_good: bool) -> RetryError | RefusedError:
        # Such an error quotes the character, which may be one of the password.
        why = "a setting of [notifications] has a character that mail cannot carry" if isinstance(error, UnicodeError) else error
        message = (
            f"the mail server {self._server.host}:{self._server.port} did not take the message: {why or type(error).__name__}"
        )
        return RefusedError(message) if for_good else RetryError(message)


def _as_id(event_id: str) -> str:
    """Return an id in which only letters, digits, dots and dashes stand."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in ".-") else "-" for sign in event_id)
