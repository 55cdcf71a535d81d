"""The border of files that are written: whole or not at all, all with the same permissions, errors in one sentence."""

import os
import stat
import threading
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from qiskit_fedqml import run_federation
from qiskit_fedqml.errors import DataError, ResultError
from qiskit_fedqml.files import make_folder, save_tensors, write_bytes, write_text, writing
from tests.config.test_text_files import OF_THE_SYSTEM
from tests.conftest import make_tiny

WRITERS = {
    "text": lambda path: write_text(path, "x"),
    "bytes": lambda path: write_bytes(path, b"x"),
    "tensors": lambda path: save_tensors(path, {"a": torch.ones(3)}, {}),
}


@pytest.fixture(params=WRITERS)
def write(request):
    """Each way to write a file."""
    return WRITERS[request.param]


@pytest.mark.parametrize("kind", [*OF_THE_SYSTEM, ValueError], ids=lambda kind: kind.__name__)
def test_every_exception_of_the_system_is_mapped(kind, write, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise kind("it is wrong")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResultError, match=r"f cannot be written: .*it is wrong\."):
        write(tmp_path / "f")
    assert not list(tmp_path.iterdir())  # not even a part of it
    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(ResultError, match="it is wrong"):
        make_folder(tmp_path / "g")


def test_an_error_of_the_package_stays_what_it_is(tmp_path):
    with pytest.raises(DataError, match=r"^they do not fit$"), writing(tmp_path):
        raise DataError("they do not fit")


def test_errors_of_safetensors_are_mapped(tmp_path, monkeypatch):
    def fail(*_):
        raise SafetensorError("it is wrong")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(ResultError, match=r"f cannot be written: it is wrong\."):
        save_tensors(tmp_path / "f", {"a": torch.ones(3)}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["taken", "a file/x", "none/x", "x" * 300, "x\0y", "x\ud800", "loop/x", ".."])
def test_paths_that_cannot_be_written_are_refused(write, tmp_path, name):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    (tmp_path / "a file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ResultError, match="cannot be written"):
        write(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_text_that_is_no_unicode_is_refused(tmp_path):
    with pytest.raises(ResultError, match="its text holds"):
        write_text(tmp_path / "f", "a\ud800")
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    reader, writer = os.pipe()
    write_bytes(Path(f"/dev/fd/{writer}"), b"x")
    assert os.read(reader, 10) == b"x"
    os.close(reader), os.close(writer)
    os.mkfifo(tmp_path / "pipe")
    found = []
    thread = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
    thread.start()
    write_text(tmp_path / "pipe", "y")
    thread.join()
    assert found == ["y"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.fixture
def umask():
    """Return the function that sets the umask, which is set back."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_all_files_of_a_run_have_the_same_permissions(tmp_path, umask, mask, mode):
    umask(mask)
    write_text(tmp_path / "text", "x")
    save_tensors(tmp_path / "tensors", {"a": torch.ones(3)}, {"k": "v"})
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}
    assert load_file(tmp_path / "tensors")["a"].tolist() == [1, 1, 1]
    if mask == 0o022:
        run_federation(make_tiny(federation__rounds=1), tmp_path / "run")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").iterdir()}
        assert {"model.safetensors", "config.yaml", "manifest.json", "run.json"} <= modes.keys()
        assert set(modes.values()) == {mode}
