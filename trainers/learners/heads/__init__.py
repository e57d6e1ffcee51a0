"""Linear heads on an encoder's features, solved to their optimum; nothing here loads torch."""
