"""One file per schema revision, never changed after a release."""
