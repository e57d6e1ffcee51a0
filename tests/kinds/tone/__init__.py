"""A kind that Perennial does not ship: how a text sounds, from -1 (bad) to 1 (good), learnt from word counts."""
