"""Numbers from an encoder's features: ridge regression, solved to its optimum; nothing here loads torch."""
