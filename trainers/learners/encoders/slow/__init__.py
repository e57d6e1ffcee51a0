"""A slow run on an encoder: the order of its steps is one for all kinds of heads, which say what differs."""
