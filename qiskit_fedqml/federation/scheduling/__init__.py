"""A simulated clock: how long tasks wait and take, and which machine serves a client."""
