import importlib

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(request, monkeypatch):
    """Return a module of experiments/, by the test module's name."""
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    name = request.module.__name__.rpartition("test_")[2]
    is_script = (ROOT / "experiments" / f"{name}.py").exists()
    return importlib.import_module(name if is_script else f"parts.{name}")
