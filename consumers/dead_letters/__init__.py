"""Events that could not be used."""
