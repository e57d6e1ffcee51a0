"""Guards: what a promotion must not make worse, with what is known of it."""
