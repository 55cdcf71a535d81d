"""Processes on this computer that work for a run or for a study."""
