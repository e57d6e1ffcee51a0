"""How a head tells its labels apart: one of them is right, or each by itself; and from which probability it answers."""
