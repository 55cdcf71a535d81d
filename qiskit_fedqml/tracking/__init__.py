"""Curves of a run in TensorBoard or MLflow."""
