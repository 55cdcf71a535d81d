import importlib

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(request, monkeypatch):
    """Return a module of experiments/, by the test module's name."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module(request.module.__name__.rpartition("test_")[2])
