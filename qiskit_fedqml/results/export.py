"""A trained model for other programs: its classical part by torch.export or as ONNX, its circuit as QPY."""

import json
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from qiskit_fedqml.circuits.digest import circuit_digest
from qiskit_fedqml.circuits.qpy_files import read_circuit, write_circuit
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.circuit import QpyCircuit
from qiskit_fedqml.errors import ConfigurationError, ResultError, shortened, shown
from qiskit_fedqml.files import write_new
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.results.evaluation import circuit_of, load_model
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.results.result import RunResult

_MOST_ONNX_BYTES = 2**31 - 2**20
"""Protocol buffers, which ONNX files are, hold less than 2 GiB."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        model: The file of the exported part.
        description: The JSON file that says what goes in, what comes out, and what follows.
        circuit: The circuit's QPY file; None of a model without a circuit, which is exported whole.
    """

    model: Path
    description: Path
    circuit: Path | None


def export_model(folder: str | Path, path: str | Path, *, overwrite: bool = False) -> Export:
    """Write a finished run's model for programs without this package.

    A model without a circuit is exported whole, from features to logits. Of a hybrid model the exported part ends at
    the circuit's inputs: no such format holds a circuit. The circuit is written next to it (``NAME.circuit.qpy``), and
    ``NAME.json`` has its weights, its observables, and the classes. The scaling of features is part of what is
    exported; the backbone, which is not the run's, is named.

    Args:
        folder: The result folder.
        path: The file, ``NAME.pt2`` for :func:`torch.export.load`, or ``NAME.onnx``.
        overwrite: Whether files with other content may be replaced.

    Raises:
        ConfigurationError: The file's name ends in neither, or the extra for ONNX is not installed.
        ResultError: The folder is no finished result, its model cannot be exported, or a file cannot be written.
    """
    target = Path(path)
    as_bytes = _format_of(target)
    model, result = load_model(folder), RunResult.load(folder)
    part = _classical_part(model)
    name = "logits" if part is model else "inputs"
    program = _traced(part, int(result.run["num_features"]), str(folder))
    content = as_bytes(program, name)
    described = {**_described(result, part is model), **_shapes(program, name), **_example(result, part, name)}
    contents = {target: content}
    circuit = None
    if model.network is not None:
        circuit = target.with_name(f"{target.stem}.circuit.qpy")
        contents[circuit], of_circuit = _circuit_file(circuit_of(result, Path(folder)), circuit)
        described["circuit"] = of_circuit
        described["weights"] = model.state_dict()["quantum.weight"].double().tolist()
    description = target.with_suffix(".json")
    contents[description] = f"{json.dumps(described, indent=2)}\n".encode()
    write_new(contents, overwrite=overwrite)
    return Export(target, description, circuit)


def _format_of(path: Path) -> Callable[[torch.export.ExportedProgram, str], bytes]:
    """Return what makes a file's content."""
    if path.suffix == ".pt2":
        return _pt2
    if path.suffix != ".onnx":
        raise ConfigurationError(f"A model is exported as .pt2 or .onnx, but the file is {shown(str(path))}.")
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"Export to ONNX needs {' and '.join(missing)}, an extra that is not installed: pip install "
            "'qiskit-fedqml[onnx]'."
        )
    return _onnx


def _classical_part(model: HybridClassifier) -> nn.Module:
    """Return the model without its circuit; one that has none, whole."""
    if model.network is None:
        return model
    return nn.Sequential(OrderedDict(scaling=model.scaling, head=model.head)).eval()


def _traced(part: nn.Module, num_features: int, folder: str) -> torch.export.ExportedProgram:
    """Return a module as torch's operations, for any number of examples, after a comparison with the module.

    Raises:
        ResultError: torch cannot do that, or the numbers are others.
    """
    features = torch.randn(3, num_features, generator=torch.Generator().manual_seed(0))
    examples = torch.export.Dim("examples")
    # Without oneDNN, linear layers of any size are torch's own.
    with warnings.catch_warnings(action="ignore"), torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        try:
            program = torch.export.export(part, (features[:2],), dynamic_shapes=({0: examples},))
            same = torch.allclose(program.module()(features), part(features), rtol=1e-5, atol=1e-6)
        except Exception as error:  # of a head of the user's own, whatever torch makes of it
            reason = shortened(" ".join(str(error).split()), 300).rstrip(".")
            raise ResultError(f"{folder}: torch.export cannot take this model: {reason}.") from error
    if not same:
        raise ResultError(f"{folder}: torch.export gives a model with other outputs, so it is not written.")
    return program


def _pt2(program: torch.export.ExportedProgram, output: str) -> bytes:
    buffer = BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(program: torch.export.ExportedProgram, output: str) -> bytes:
    if sum(tensor.nbytes for tensor in program.state_dict.values()) > _MOST_ONNX_BYTES:
        raise ResultError("The model takes 2 GiB or more, which an ONNX file cannot hold; export it as .pt2.")
    with warnings.catch_warnings(action="ignore"):
        made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["features"], output_names=[output])
    assert made is not None
    content: bytes = made.model_proto.SerializeToString()
    return content


def _shapes(program: torch.export.ExportedProgram, output: str) -> dict[str, Any]:
    """Return name, type and shape of what goes in and what comes out."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    signature = program.graph_signature
    names = {"input": ("features", signature.user_inputs[0]), "output": (output, signature.user_outputs[0])}
    return {
        key: {"name": name, "dtype": "float32", "shape": ["examples", int(values[str(node)].shape[1])]}
        for key, (name, node) in names.items()
    }


def _example(result: RunResult, part: nn.Module, output: str) -> dict[str, Any]:
    """Return features between the smallest and the largest of the run's, none of its data, and what comes out."""
    if (known := result.run.get("feature_range")) is None:
        return {}
    features = torch.linspace(known[0], known[1], int(result.run["num_features"]))
    with torch.no_grad():
        found = part(features[None])[0]
    return {"example": {"features": features.tolist(), output: found.tolist()}}


def _described(result: RunResult, is_whole: bool) -> dict[str, Any]:
    features = result.experiment.features.model_dump(mode="json", exclude={"scaling"})
    return {
        "exported": "the whole model" if is_whole else "scaling and head, up to the circuit's inputs",
        "classes": list(result.run["classes"]),
        "features": features if features["backbone"] else "as in the data",
        **({"feature_range": known} if (known := result.run.get("feature_range")) else {}),
        "run": {"run_id": result.run.get("run_id"), "seed": result.experiment.seed},
        "versions": versions(),
    }


def _circuit_file(spec: CircuitSpec, path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the content of a circuit's QPY file, and what says how to use it.

    Qiskit gives parameters new identities each time that a circuit is made, so the content is that of an earlier export
    where that has the same circuit.

    Raises:
        ResultError: QPY cannot hold it.
    """
    with TemporaryDirectory(prefix="qiskit_fedqml-") as temporary:
        fresh = Path(temporary) / path.name
        try:
            written = write_circuit(spec, fresh)
        except ConfigurationError as error:
            raise ResultError(str(error.__cause__ or error)) from error
        content = fresh.read_bytes()
    if path.is_file() and _holds(path, written, spec):
        content = path.read_bytes()
    return content, written.model_copy(update={"qpy": path.name}).model_dump(mode="json")


def _holds(path: Path, written: QpyCircuit, spec: CircuitSpec) -> bool:
    try:
        earlier = read_circuit(written.model_copy(update={"qpy": str(path)}))
    except ConfigurationError:
        return False
    return circuit_digest(earlier) == circuit_digest(spec)
