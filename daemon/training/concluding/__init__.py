"""From a trained candidate to what is told: a version, its verdict, the proof of it, the alias."""
