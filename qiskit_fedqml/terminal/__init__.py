"""What a terminal shows: progress, tables, and how a stopped run is resumed."""
