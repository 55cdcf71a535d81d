"""How a run is shown while it goes: as bars on a terminal or in a notebook, as lines elsewhere."""
