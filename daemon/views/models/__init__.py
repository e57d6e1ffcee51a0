"""Views of what was trained: runs, versions, comparisons, trials and repetitions."""
