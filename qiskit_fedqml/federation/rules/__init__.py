"""Aggregation rules, one file each, named as their papers name them. None of them reaches Qiskit."""
