"""Ways of learning, one package each, and the protocols that they fulfil."""
