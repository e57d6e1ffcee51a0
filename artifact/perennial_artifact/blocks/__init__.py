"""Classifiers whose head reads further blocks of features beside the encoder's."""
