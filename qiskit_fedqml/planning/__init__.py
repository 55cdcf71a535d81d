"""What a run on devices will cost, and what was sent."""
