"""Importers: files of many formats become events."""
