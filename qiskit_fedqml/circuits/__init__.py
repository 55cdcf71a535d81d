"""Circuits of the quantum layer: the paper's and others', each described by a `CircuitSpec`."""
