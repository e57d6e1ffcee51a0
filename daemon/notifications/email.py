"""E-mail through an SMTP server."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from config.errors import RetryError
from daemon.notifications.channel import RefusedError
from daemon.notifications.notice import Notice

_TIMEOUT_S = 10.0
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


class Email:
    """Sends each notice as one message to all receivers."""

    name = "email"

    def __init__(self, server: Server, sender: str, receivers: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._receivers = list(receivers)

    def send(self, notice: Notice) -> None:
        """Hand one message in, as `Channel.send`."""
        try:
            with self._connected() as smtp:
                smtp.send_message(self._message(notice), from_addr=self._sender, to_addrs=self._receivers)
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

    def _connected(self) -> smtplib.SMTP:
        """Return a connection that is safe and, where there is a user name, signed in."""
        at, security = self._server, self._server.security
        context = None if security == "none" else ssl.create_default_context(cafile=at.authorities or None)
        if security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(at.host, at.port, timeout=_TIMEOUT_S, context=context)
        else:
            smtp = smtplib.SMTP(at.host, at.port, timeout=_TIMEOUT_S)
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
