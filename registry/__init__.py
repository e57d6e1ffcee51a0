"""From a candidate to a champion: versions, artifacts, the gate, promotion."""
