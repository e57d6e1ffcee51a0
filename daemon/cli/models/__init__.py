"""Commands about versions: which one answers, how good each is, what it learnt, and how it is handed on."""
