"""Differential privacy: what has been spent of it, and the randomness that it rests on. Nothing here reaches torch."""
