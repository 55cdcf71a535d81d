import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return the current folder, an empty one, in which alone data is looked for."""
    monkeypatch.delenv("FEDQML_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
