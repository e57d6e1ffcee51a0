"""Tells people what happened to their models: by webhook, Slack and e-mail."""
