"""`perennial doctor`: what can be wrong with an installation, and how to fix it."""
