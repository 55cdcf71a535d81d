"""Simulation of a circuit and all its shifted circuits in two sweeps: state vectors, or Pauli vectors with noise."""
