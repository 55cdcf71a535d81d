"""The shape of the package: what importing it does, and which way its imports point."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

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


PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"} - {"qiskit_fedqml.backends.ibm"}
"""Packages that hold a docstring alone; that of IBM's devices has the function that opens one."""
GRAPH = {name: imports(path) & set(MODULES) - {name} - PACKAGES for name, path in MODULES.items()}
"""The modules that a module imports, without the packages around them."""


def reached(name):
    """Return all modules that a module imports, directly or not."""
    found, waiting = set(), [name]
    while waiting:
        fresh = GRAPH[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


def longest_chain(name):
    """Return the longest chain of imports from a module down; a cycle fails."""

    @cache
    def chain(name):
        assert name not in path, f"cycle: {[*path[path.index(name) :], name]}"
        path.append(name)
        longest = max(map(chain, sorted(GRAPH[name])), key=len, default=())
        path.remove(name)
        return (name, *longest)

    path = []
    return chain(name)


def folder(name):
    """Return a module's folder below the package; of a module in the root, its own name."""
    parts = name.split(".")[1:] if MODULES[name].name == "__init__.py" else name.split(".")[1:-1]
    return ".".join(parts) or name.split(".")[-1]


# From the bottom to the top: a folder imports from itself and from those before it.
FLOORS = (
    *("errors", "seeds", "files", "tables", "config", "circuits", "simulation", "backends"),
    *("backends.packing", "backends.simulated"),
    *("backends.devices", "backends.ibm", "backends.providers", "backends.array"),
    *("data", "model", "privacy", "federation", "workers", "results", "tracking"),
    *(
        "federation.rules",
        "federation.steps",
        "federation.clients",
        "federation.executors",
        "federation.scheduling",
        "federation.algorithms",
        "ledger",
        "planning",
        "progress",
        "federation.runs",
    ),
    *("flower", "terminal", "study", "report", "terminal.commands", "cli", "__main__", "qiskit_fedqml"),
)


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_folders_import_downwards_only(name):
    floor = FLOORS.index(folder(name))
    upwards = [other for other in reached(name) if FLOORS.index(folder(other)) > floor]
    assert not upwards


def test_no_chain_of_imports_is_longer_than_15_modules():
    # Commands, and what Flower starts, only call the others.
    below = [
        name
        for name in GRAPH
        if folder(name) not in ("__main__", "cli", "terminal.commands") and not name.endswith("_app")
    ]
    longest = max((longest_chain(name) for name in below), key=len)
    assert len(longest) <= 15, longest


def test_only_results_ask_for_public_names():
    # A result's shorthands for what is made of results floors above; anything else would hide an import upwards.
    names = {f"qiskit_fedqml.{name}" for name in qiskit_fedqml.__all__}
    assert {name for name, path in MODULES.items() if imports(path) & names} <= {"qiskit_fedqml.results.result"}


def test_root_holds_few_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= 7


@pytest.mark.parametrize(
    ("place", "only"),
    [("config", {"config", "errors", "tables"}), ("federation.rules", None), ("federation.steps", None)],
)
def test_what_a_folder_reaches(place, only):
    for name in GRAPH:
        if folder(name) != place:
            continue
        if only is not None:
            assert {folder(other) for other in reached(name)} <= only
        for module in (name, *reached(name)):
            foreign = {i.split(".")[0] for i in imports(MODULES[module])}
            assert not {i for i in foreign if i.startswith("qiskit") and i != "qiskit_fedqml"}, module


FLOWER = ("answering", "answers", "client_app", "executor", "node_process", "post", "records", "server_app")
SECURE = ("hiding", "line", "masking", "secure_executor", "secure_sum", "stages")
IBM = {f"qiskit_fedqml.backends.ibm.{name}" for name in ("connection", "errors", "primitive", "service")}


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("qiskit_ibm_runtime", {"qiskit_fedqml.backends.calibration", *IBM}),
        ("sqlite3", {"qiskit_fedqml.backends.devices.database", "qiskit_fedqml.results.lock"}),
        ("torchvision", {f"qiskit_fedqml.data.{name}" for name in ("vision", "backbone", "cifar10")}),
        ("yaml", {"qiskit_fedqml.config.yaml_files"}),
        ("pickle", set()),
        ("flwr", {f"qiskit_fedqml.flower.{name}" for name in (*FLOWER, *SECURE)}),
        ("pyarrow", {"qiskit_fedqml.data.table_files"}),
        ("datasets", {"qiskit_fedqml.data.hugging_face"}),
        ("tensorboard", set()),  # optional: opened by name, when a run asks for them
        ("mlflow", set()),
    ],
)
def test_only_these_modules_import(library, allowed):
    users = {name for name, path in MODULES.items() if any(i.split(".")[0] == library for i in imports(path))}
    assert users <= allowed


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


BROUGHT = {
    **{"cryptography": "flwr", "ibm_cloud_sdk_core": "ibm-platform-services", "requests": "qiskit-ibm-runtime"},
    **{"llvmlite": "numba", "markupsafe": "jinja2", "pydantic_core": "pydantic", "rustworkx": "qiskit"},
}
"""Modules of packages that come with a package that is declared, which is made of them."""


def names_of(requirements):
    return {re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in requirements}


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    declared = names_of([*project["dependencies"], *(one for extra in extras for one in extra)])
    known = packages_distributions()
    own = {*sys.stdlib_module_names, "qiskit_fedqml", "IPython"}  # which is there where there is a notebook
    found = {name.split(".")[0] for path in MODULES.values() for name in imports(path)} - own
    assert {"torch", "typer"} <= found
    undeclared = {name for name in found if not names_of(known.get(name, [name])) & declared}
    assert undeclared <= set(BROUGHT), "declare it: what another package brings today it may not bring tomorrow"


@pytest.mark.parametrize(("module", "package"), BROUGHT.items())
def test_what_is_brought_is_brought(module, package):
    try:
        brought = names_of(requires(package) or ())
    except PackageNotFoundError:
        pytest.skip(f"{package}, of an extra, is not installed")
    assert names_of(packages_distributions()[module]) & brought
