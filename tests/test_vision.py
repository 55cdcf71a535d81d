import sys

import pytest

from qiskit_fedqml.errors import DataError
from qiskit_fedqml.vision import import_torchvision


def test_torchvision_that_cannot_be_imported_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r"torchvision cannot be imported beside torch .* one build: `pip"):
        import_torchvision()
