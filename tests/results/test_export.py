"""Exported models give the numbers of the run's model in a process that does not have this package."""

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from qiskit_fedqml import load_model, run_federation
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.results import export
from qiskit_fedqml.results.export import export_model
from tests.conftest import make_tiny

X = np.random.default_rng(0).uniform(0, 16, (5, 64)).astype(np.float32)
WITH_ONNX = pytest.param("onnx", marks=pytest.mark.skipif(not find_spec("onnxscript"), reason="the extra is not there"))
AGAIN = """
import json, sys
import numpy as np

folder, kind = sys.argv[1:]
x = np.load(f"{folder}/x.npy")
if kind == "pt2":
    import torch
    outputs = torch.export.load(f"{folder}/model.pt2").module()(torch.from_numpy(x)).detach().numpy()
else:
    from onnx.reference import ReferenceEvaluator
    (outputs,) = ReferenceEvaluator(f"{folder}/model.onnx").run(None, {"features": x})
read_back = json.load(open(f"{folder}/model.json"))
if "circuit" in read_back:
    from qiskit import qpy
    from qiskit.primitives import StatevectorEstimator
    from qiskit.quantum_info import SparsePauliOp
    with open(f"{folder}/{read_back['circuit']['qpy']}", "rb") as file:
        (circuit,) = qpy.load(file)
    order = {p.name: i for i, p in enumerate(circuit.parameters)}
    values = np.empty((len(x), len(order)))
    values[:, [order[name] for name in read_back["circuit"]["inputs"]]] = outputs
    values[:, [order[name] for name in read_back["circuit"]["weights"]]] = read_back["weights"]
    observables = [SparsePauliOp.from_list(list({of: 1.0}.items() if isinstance(of, str) else of.items()))
                   for of in read_back["circuit"]["observables"]]
    outputs = StatevectorEstimator().run([(circuit, [[o] for o in observables], values)]).result()[0].data.evs.T
assert not any(name.startswith("qiskit_fedqml") for name in sys.modules)
np.save(f"{folder}/outputs.npy", outputs)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run whose circuit has observables of several terms."""
    folder = tmp_path_factory.mktemp("run") / "run"
    run_federation(make_tiny(federation__rounds=1), folder)
    return folder


def outputs_of(folder, kind):
    """Return what exported files give in a fresh process."""
    np.save(folder / "x.npy", X)
    subprocess.run([sys.executable, "-c", AGAIN, str(folder), kind], check=True)
    return np.load(folder / "outputs.npy")


def logits_of(folder):
    with torch.no_grad():
        return load_model(folder)(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("kind", ["pt2", WITH_ONNX])
def test_a_hybrid_model_is_put_together_again_from_its_files(run, tmp_path, kind):
    written = export_model(run, tmp_path / f"model.{kind}")
    assert written.circuit == tmp_path / "model.circuit.qpy"
    read_back = json.loads(written.description.read_text())
    assert read_back["output"] == {"name": "inputs", "dtype": "float32", "shape": ["examples", 2]}
    assert read_back["classes"] == ["0", "1"]
    np.testing.assert_allclose(outputs_of(tmp_path, kind), logits_of(run), atol=1e-6)


@pytest.mark.parametrize("kind", ["pt2", WITH_ONNX])
def test_a_model_without_a_circuit_is_exported_whole(tmp_path, kind):
    run_federation(
        make_tiny(model__quantum="classical", model__circuit__num_layers=2, federation__rounds=1), tmp_path / "run"
    )
    written = export_model(tmp_path / "run", tmp_path / f"model.{kind}")
    assert written.circuit is None
    assert "circuit" not in json.loads(written.description.read_text())
    np.testing.assert_allclose(outputs_of(tmp_path, kind), logits_of(tmp_path / "run"), atol=1e-6)


def test_large_layers_are_exported_as_torchs_own():
    layer = nn.Sequential(OneDnnLinear(2048, 2048))
    program = export._traced(layer, 2048, "run")
    assert [node.name for node in program.graph.nodes if node.op == "call_function"] == ["linear"]


def test_a_second_export_replaces_nothing_that_differs(run, tmp_path):
    first = export_model(run, tmp_path / "model.pt2")
    before = first.circuit.read_bytes()
    export_model(run, tmp_path / "model.pt2", overwrite=True)
    assert first.circuit.read_bytes() == before  # though parameters have new identities each time
    (tmp_path / "model.json").write_text("mine")
    with pytest.raises(ResultError, match=r"model\.json exists already"):
        export_model(run, tmp_path / "model.pt2")


def test_what_cannot_be_exported(run, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"as \.pt2 or \.onnx, but the file is 'model\.h5'"):
        export_model(run, "model.h5")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigurationError, match=r"onnx and onnxscript, an extra .* pip install 'qiskit-fedqml\[onnx\]'"
    ):
        export_model(run, tmp_path / "model.onnx")

    class Odd(nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    with pytest.raises(ResultError, match="run: torch.export cannot take this model: "):
        export._traced(Odd(), 3, "run")
    assert not any(tmp_path.iterdir())
