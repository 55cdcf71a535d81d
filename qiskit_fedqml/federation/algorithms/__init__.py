"""Algorithms: who gets which task next, and what becomes of the updates."""
