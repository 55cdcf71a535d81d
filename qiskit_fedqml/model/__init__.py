"""The hybrid classifier: the quantum layer, the head, and what they predict."""
