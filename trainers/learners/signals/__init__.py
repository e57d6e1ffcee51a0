"""Signals from an encoder's features: a ridge regression for scores, a logistic regression for tags; nothing here loads torch."""
