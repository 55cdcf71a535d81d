"""Machines on which clients train: the registry, and the backends behind it."""
