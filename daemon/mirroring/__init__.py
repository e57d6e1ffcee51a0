"""Keeps registries of others like ours."""
