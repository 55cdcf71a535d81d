"""A run put together, begun, resumed and ended."""
