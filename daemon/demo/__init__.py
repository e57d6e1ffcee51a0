"""The demo: a seeded stream of made-up news with a drift in it, and the show that plays it to a running daemon."""
