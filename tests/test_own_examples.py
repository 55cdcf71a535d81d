"""The examples of one's own parts: each is short, runs from Python and from YAML, and goes on in a fresh process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents import read_page
from tests.reader import Reader, modules_forgotten

MOST_LINES = 15
CODE = ("python", "yaml", "{code-cell} ipython3")
OWN = {
    "docs/extending.md": (
        *("Data", "A circuit", "A head", "No head, no circuit", "Loss and metrics"),
        *("An aggregation rule", "A client step", "An algorithm", "A machine"),
    ),
    "docs/data.md": ("Your own datasets", "Tables", "Hugging Face"),
}
"""The sections about something of one's own."""
PAGES = (*OWN, "docs/layer.md", "docs/simulation.md", "docs/tutorials/own_parts.md")
"""Where all examples are short."""
FROM_FILES = {"Tables", "Hugging Face"}
"""What only an experiment file names."""

FRESH = f"""
import sys
from pathlib import Path
sys.path.append({str(ROOT)!r})
from qiskit_fedqml import BackendRegistry, RunResult, extend_federation
from qiskit_fedqml.results.evaluation import evaluate_model

for folder in sys.argv[1:]:
    result = RunResult.load(folder)
    entries, objects = result.experiment.backends.backends, {{}}
    if any(entry.type == "object" for entry in entries.values()):
        from noisy import noisy
        objects = {{"backends": {{name: noisy(0.02) for name, entry in entries.items() if entry.type == "object"}}}}
    extended = extend_federation(folder, len(result.rounds) + 1, **objects)
    assert len(extended.rounds) == len(result.rounds) + 1
    found = evaluate_model(folder, BackendRegistry(result.experiment.backends, Path(folder)).server)
    assert abs(found.loss - extended.rounds[-1].test_loss) < 1e-5, folder
    assert found.metrics.keys() == extended.rounds[-1].metrics.keys()
    print(folder, found.loss)
"""
"""What a fresh process does: one round more for each result, and a test of its model."""


def sections(page):
    """Return a page's blocks by the heading that they are below; those before the first one are below ``""``."""
    blocks = read_page(page).blocks
    inside = {line for block in blocks for line in range(block.line, block.line + block.text.count("\n"))}
    lines = enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), start=1)
    found = {"": []}
    headings = [(line, text[3:]) for line, text in lines if text.startswith("## ") and line not in inside]
    for block in blocks:
        heading = next((name for line, name in reversed(headings) if line < block.line), "")
        found.setdefault(heading, []).append(block)
    return found


def num_lines(text):
    """Return the lines of code in a text: neither blank lines nor comments."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


@pytest.mark.parametrize("page", PAGES)
def test_examples_are_short(page):
    long = {b.place: n for b in read_page(page).blocks if b.language in CODE and (n := num_lines(b.text)) > MOST_LINES}
    assert not long, f"examples of one's own have at most {MOST_LINES} lines of code"


def test_lines_are_counted():
    assert num_lines("# a comment\n\nx = 1  # one\n\n\ndef f():\n    # why\n    return x\n") == 3


@pytest.mark.parametrize(("page", "heading"), [(page, heading) for page, of in OWN.items() for heading in of])
def test_each_has_an_example_in_python_and_in_yaml(page, heading):
    blocks = [block for block in sections(page)[heading] if not block.hints.keys() & {"not run:", "slow"}]
    in_python = [block for block in blocks if block.language == "python" and "run_federation(" in block.text]
    in_yaml = [block for block in blocks if block.language == "sh" and "fedqml run " in block.text]
    assert in_yaml
    assert in_python or heading in FROM_FILES


@pytest.mark.slow
@pytest.mark.parametrize("page", OWN)
def test_examples_go_on_in_a_fresh_process(page, tmp_path, monkeypatch, cache):
    made = {}
    with modules_forgotten(tmp_path):
        reader = Reader(tmp_path, monkeypatch, has_time=False)
        for heading, blocks in sections(page).items():
            if heading not in ("", *OWN[page]):
                continue
            for block in blocks:
                before = set(Path("results").glob("*"))
                reader.read(block)
                for folder in set(Path("results").glob("*")) - before:
                    made.setdefault((heading, block.language), []).append(str(folder))
    expected = {(heading, language) for heading in OWN[page] for language in ("python", "sh")}
    assert made.keys() == expected - {(heading, "python") for heading in FROM_FILES}
    folders = [folder for of in made.values() for folder in of]
    done = subprocess.run([sys.executable, "-c", FRESH, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(folders)
