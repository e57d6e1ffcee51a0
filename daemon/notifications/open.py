"""Which channels the settings name."""

from __future__ import annotations

from config.sections import NotificationsSettings
from daemon.notifications.channel import Channel
from daemon.notifications.email import Email, Server
from daemon.notifications.slack import Slack
from daemon.notifications.webhook import Webhook


def channels_of(settings: NotificationsSettings) -> list[Channel]:
    """Return the channels that are set up; none by default."""
    found: list[Channel] = []
    if url := settings.webhook_url.get_secret_value():
        found.append(Webhook(url, settings.webhook_secret.get_secret_value()))
    if url := settings.slack_url.get_secret_value():
        found.append(Slack(url))
    if settings.email_host:
        server = Server(
            host=settings.email_host, port=settings.email_port, security=settings.email_security,
            username=settings.email_username, password=settings.email_password.get_secret_value(), authorities=settings.email_ca,
        )  # fmt: skip
        found.append(Email(server, settings.email_from, settings.receivers))
    return found
