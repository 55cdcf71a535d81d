"""A signed chain of what was aggregated, kept by a run with its results, and verified by anyone."""
