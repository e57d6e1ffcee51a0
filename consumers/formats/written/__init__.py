"""Files that labelled rows are written to, so that `consumers.formats` reads the same rows from them."""
