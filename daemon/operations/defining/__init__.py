"""A first task file, made from what somebody has."""
