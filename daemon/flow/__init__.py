"""How events come in and go out."""
