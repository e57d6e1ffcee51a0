"""Published heads: solved anew on stored features, converted, linked."""
