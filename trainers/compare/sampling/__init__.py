"""Which rows are to be labelled, with what probability, and what the labelled ones say of a gain."""
