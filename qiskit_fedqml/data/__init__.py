"""Data: datasets, their partition over clients, and the scaling of features."""

from qiskit_fedqml.data.datasets import Dataset, Images, Split
from qiskit_fedqml.data.loading import load_dataset, partition_examples

__all__ = ["Dataset", "Images", "Split", "load_dataset", "partition_examples"]
