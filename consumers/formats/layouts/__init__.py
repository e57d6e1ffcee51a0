"""How rows are laid out: which tool wrote them, and where text, label and spans stand."""
