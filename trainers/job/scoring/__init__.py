"""How good the candidate is, and what stands beside it: its opponent, the declared baseline, a teacher, an oracle, people."""
