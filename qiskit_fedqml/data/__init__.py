"""Data: datasets, their partition over clients, and the scaling of features."""
