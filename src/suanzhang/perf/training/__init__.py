"""The time and the memory of one training step, as scalar pure formulas."""
