"""Classifiers made of a sentence encoder and a linear head, in folders that sentence-transformers opens too."""
