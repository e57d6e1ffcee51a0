"""The verdict on a candidate: the gate, which policies can be met, and how much of the allowance of looks and tests is spent."""
