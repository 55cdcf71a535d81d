"""The shape of the package: what importing it does, and which way its imports point."""

import ast
import subprocess
import sys

import pytest

import qiskit_fedqml
from qiskit_fedqml import errors
from tests.conftest import ROOT

PACKAGE = ROOT / "qiskit_fedqml"
MODULES = {
    ".".join(("qiskit_fedqml", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports(path):
    """Return the package's modules that a module imports, at its top or inside functions, but not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_imports_have_no_cycle():
    graph = {name: imports(path) & set(MODULES) - {name, "qiskit_fedqml"} for name, path in MODULES.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {[*path[path.index(name) :], name]}"
        if name not in done:
            path.append(name)
            for other in sorted(graph[name]):
                visit(other)
            done.add(path.pop())

    for name in graph:
        visit(name)


IBM = {f"qiskit_fedqml.backends.ibm.{name}" for name in ("errors", "primitive", "service")}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("qiskit_ibm_runtime", {"qiskit_fedqml.backends.calibration", *IBM}),
        ("sqlite3", {"qiskit_fedqml.backends.journal", "qiskit_fedqml.locking"}),
        ("torchvision", {"qiskit_fedqml.vision", "qiskit_fedqml.features", "qiskit_fedqml.data.datasets"}),
        ("yaml", {"qiskit_fedqml.configuration", "qiskit_fedqml.results"}),
        ("pickle", set()),
        ("tensorboard", set()),  # optional: opened by name, when a run asks for them
        ("mlflow", set()),
    ],
)
def test_only_these_modules_import(library, allowed):
    users = {name for name, path in MODULES.items() if any(i.split(".")[0] == library for i in imports(path))}
    assert users <= allowed


@pytest.mark.parametrize("name", ["training", *(n[14:] for n in MODULES if n.startswith("qiskit_fedqml.aggregation."))])
def test_algorithms_know_nothing_of_qiskit(name):
    assert not any(
        i.split(".")[0].startswith("qiskit") and "fedqml" not in i for i in imports(MODULES[f"qiskit_fedqml.{name}"])
    )


def test_importing_the_package_imports_nothing_else():
    script = "import sys; before = set(sys.modules); import qiskit_fedqml; "
    script += "print(sorted(m.split('.')[0] for m in set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout)) - set(sys.stdlib_module_names)
    assert loaded == {"qiskit_fedqml"}


def test_public_names_are_there():
    assert set(qiskit_fedqml.__all__) <= set(dir(qiskit_fedqml))
    assert all(getattr(qiskit_fedqml, name) is not None for name in qiskit_fedqml.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qiskit_fedqml.nothing


def test_errors_share_one_base():
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(kind, errors.FedQMLError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
