"""The sandbox: what a candidate is put through, in a process of its own, before the gate may promote it."""
