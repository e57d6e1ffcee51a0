"""Layouts of rows: which tool wrote them, and which fields have text, label and spans."""
