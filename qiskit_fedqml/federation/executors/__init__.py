"""Executors: tasks in, updates out. None of them decides what is aggregated."""
