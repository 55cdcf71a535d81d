import sys

import pytest

from qiskit_fedqml.data.vision import import_torchvision
from qiskit_fedqml.errors import DataError


def test_torchvision_that_cannot_be_imported_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r"torchvision cannot be imported with torch .* one build: `pip"):
        import_torchvision()
