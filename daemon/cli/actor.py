"""Who a command acts for."""

ACTOR = "operator"
"""Who did what a command did, as the history tells it."""
