import pytest

from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.errors import DataError


def test_missing_data_names_where_it_was_looked_for(here, monkeypatch):
    with pytest.raises(DataError, match="FEDQML_DATA can name another folder"):
        find_data("none.npz")
    monkeypatch.setenv("FEDQML_DATA", str(here / "elsewhere"))
    with pytest.raises(DataError, match=r"elsewhere/none.npz and none.npz\.$"):
        find_data("none.npz")
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "d.npz").touch()
    (here / "d.npz").touch()
    assert find_data("d.npz") == here / "elsewhere" / "d.npz"
    monkeypatch.delenv("FEDQML_DATA")
    assert find_data("d.npz").resolve() == here / "d.npz"


@pytest.mark.parametrize("path", ["a" * 5000, "a\0b", "\ud800", "d.npz/inside"])
def test_paths_that_no_system_takes(here, path):
    (here / "d.npz").touch()
    with pytest.raises(DataError) as caught:
        find_data(path)
    assert len(str(caught.value).encode()) < 1000
