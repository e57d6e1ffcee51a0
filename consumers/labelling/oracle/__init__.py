"""Labels by a language model: what it is asked, which answers are accepted, when it is believed, and what it has cost."""
