"""Labels by rules: which rules say what of a text, how far each is believed, and what is told of all of them."""
