"""Labels that may be wrong: of one text, of near copies, and against what heads say that have not seen them."""
