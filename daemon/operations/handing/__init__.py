"""Models handed on to other programs: written as plain libraries open them, and published on a hub."""
