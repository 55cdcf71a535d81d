"""Federations across organisations on Flower: the only importer of flwr."""
