"""Parts of a comparison, each scored by itself: labels, dimensions, signals, slices of the rows."""
