"""`perennial doctor`: what can be wrong with an installation, and what mends it."""
