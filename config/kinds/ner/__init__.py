"""Entity recognition: the entities of a text, each a span of characters with a type."""
