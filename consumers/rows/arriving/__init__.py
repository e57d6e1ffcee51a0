"""How events become rows: once each, in revisions, by import; and requests among them."""
