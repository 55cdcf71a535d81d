"""What a run leaves: its folder, its records, its checkpoint, where it comes from; read back and evaluated."""
