"""Studies: many runs that differ in one thing, what they show together, and how certain it is."""
