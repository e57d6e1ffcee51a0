"""Which rows of a training set a run learns from, and how learners read them."""
