import pickle
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from qiskit_fedqml.data import weights
from qiskit_fedqml.data.weights import file_digest, fit_weights, load_weights, torchvision_weights
from qiskit_fedqml.errors import DataError

STATE = {"0.weight": torch.tensor([[1.0, -2.5]]), "0.bias": torch.tensor([0.125])}
NORM = {**STATE, "1.num_batches_tracked": torch.tensor(3)}


def same(state, expected):
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) and state[key].dtype == expected[key].dtype for key in expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_weights_are_cast_to_the_models_dtype(tmp_path, dtype):
    torch.save({key: tensor.to(dtype) for key, tensor in STATE.items()}, tmp_path / "w.pth")
    state = load_weights(tmp_path / "w.pth")
    expected = {key: tensor.to(dtype).to(torch.float32) for key, tensor in STATE.items()}
    same(fit_weights(state, STATE, "weights"), expected)


def test_only_what_is_wanted_is_taken():
    same(fit_weights({**STATE, "9.more": torch.zeros(3)}, STATE, "weights"), STATE)


def test_old_files_need_not_count_batches():
    fitted = fit_weights(STATE, NORM, "weights")
    assert fitted["1.num_batches_tracked"] == 0
    assert fitted["1.num_batches_tracked"].dtype == torch.int64
    same(fit_weights(NORM, NORM, "weights"), NORM)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"0.weight": STATE["0.weight"]}, r"W: 0\.bias is missing\.$"),
        ({f"module.{key}": value for key, value in STATE.items()}, "0.weight is missing, but module.0.weight is there"),
        ({1: torch.zeros(1)}, "0.weight is missing"),
        ({**STATE, "0.weight": torch.zeros(2, 1)}, r"0.weight has shape \(2, 1\) instead of \(1, 2\)"),
        ({**STATE, "0.weight": torch.full((1, 2), torch.nan)}, "0.weight has NaN or infinite values"),
        ({**STATE, "0.weight": torch.full((1, 2), 1e300, dtype=torch.float64)}, "infinite values as torch.float32"),
        ({**STATE, "0.weight": torch.zeros(1, 2, dtype=torch.complex64)}, "no plain tensor .* torch.complex64"),
        ({**STATE, "0.weight": torch.zeros(1, 2).to_sparse()}, "no plain tensor .* torch.sparse_coo"),
        ({**STATE, "0.weight": torch.zeros(1, 2, device="meta")}, "no plain tensor .* meta"),
    ],
)
def test_weights_that_do_not_fit(state, message):
    with pytest.raises(DataError, match=message):
        fit_weights(state, STATE, "W")


class Code:
    def __reduce__(self):
        return (Path.touch, (Path("code has run"),))


def torch_script():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and files of it exist
        return torch.jit.script(torch.nn.Linear(2, 1))


WRITERS = {
    "empty": lambda file: file.touch(),
    "text": lambda file: file.write_text("<html>not found</html>"),
    "zip": lambda file: file.write_bytes(b"PK\x05\x06" + 18 * b"\0"),
    "bytes": lambda file: file.write_bytes(bytes(range(256))),
    "pickle": lambda file: file.write_bytes(pickle.dumps({"a": [1, 2]})),
    "code": lambda file: torch.save({"a": Code()}, file),
    "old code": lambda file: torch.save({"a": Code()}, file, _use_new_zipfile_serialization=False),
    "module": lambda file: torch.save(torch.nn.Linear(2, 1), file),
    "script": lambda file: torch_script().save(str(file)),
    "list": lambda file: torch.save([torch.zeros(2)], file),
    "tensor": lambda file: torch.save(torch.zeros(2), file),
    "numbers": lambda file: torch.save({"a": 1}, file),
    "no tensors": lambda file: torch.save({}, file),
    "many": lambda file: torch.save({f"key {i}": i for i in range(999)}, file),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.filterwarnings("ignore")
def test_foreign_files_are_refused_without_advice_to_run_them(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "w.pth"
    WRITERS[kind](file)
    with pytest.raises(DataError, match=r"w\.pth (is not|must be) a state dict of tensors.*\.$") as caught:
        load_weights(file)
    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not Path("code has run").exists()


def test_truncated_files_are_refused(tmp_path):
    file = tmp_path / "w.pth"
    torch.save(STATE, file)
    content = file.read_bytes()
    for length in range(0, len(content), 97):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match="is not a state dict of tensors"):
            load_weights(file)


def test_messages_name_the_cause(tmp_path):
    file = tmp_path / "w.pth"
    torch.save(torch.nn.Linear(2, 1), file)
    with pytest.raises(DataError, match=r"needs the code torch\.nn\.modules\.linear\.Linear, which is not run; save"):
        load_weights(file)
    torch.save({"epoch": 3, "optimizer": {"lr": 1}, "state_dict": OrderedDict(STATE)}, file)
    with pytest.raises(DataError, match=r"has the keys \['epoch', 'optimizer', 'state_dict'\]; save what 'state_dict'"):
        load_weights(file)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        load_weights(file)


class Weights:
    """torchvision's entry of a model, whose file was downloaded by nobody yet, or cannot be."""

    url = "https://download.pytorch.org/models/vgg16-01234567.pth"
    error = OSError("no network")

    @classmethod
    def get_state_dict(cls, **_):
        sys.stdout.write("Downloading\n")
        raise cls.error


@pytest.fixture
def unreachable(here, monkeypatch):
    models = SimpleNamespace(get_model_weights=lambda _: SimpleNamespace(DEFAULT=Weights))
    monkeypatch.setattr(weights, "import_torchvision", lambda: SimpleNamespace(models=models))
    return here


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("invalid hash"), EOFError(), ValueError("x")])
def test_downloads_that_fail(unreachable, monkeypatch, capsys, error):
    monkeypatch.setattr(Weights, "error", error)
    with pytest.raises(DataError, match="weights of vgg16 could not be downloaded .* name another state-dict file"):
        torchvision_weights("vgg16")
    assert capsys.readouterr() == ("", "Downloading\n")  # the standard output is the command's
    with pytest.raises(
        DataError, match=rf"Put the file {Weights.url} into a folder `weights`, here or in the folder that"
    ):
        torchvision_weights("vgg16")
    monkeypatch.setenv("FEDQML_DATA", str(unreachable / "mine"))
    with pytest.raises(DataError, match=rf"into the folder {unreachable / 'mine' / 'weights'}, or name"):
        torchvision_weights("vgg16")


@pytest.mark.parametrize("folder", [".", "mine"])
def test_weights_that_were_downloaded_by_hand(unreachable, monkeypatch, folder):
    if folder != ".":
        monkeypatch.setenv("FEDQML_DATA", str(unreachable / folder))
    (unreachable / folder / "weights").mkdir(parents=True)
    torch.save(STATE, unreachable / "any.pth")
    name = f"vgg16-{file_digest(unreachable / 'any.pth')[:8]}.pth"
    (unreachable / "any.pth").rename(unreachable / folder / "weights" / name)
    monkeypatch.setattr(Weights, "url", f"https://download.pytorch.org/models/{name}")
    same(torchvision_weights("vgg16"), STATE)
    torch.save(NORM, unreachable / folder / "weights" / name)
    with pytest.raises(DataError, match=rf"{name} is damaged, or another file: its SHA-256 must begin with "):
        torchvision_weights("vgg16")
