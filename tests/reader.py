"""A reader who does what a page says: runs its Python and its commands, and checks its configurations."""

import argparse
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from contextlib import contextmanager

import pytest
import typer.main

from qiskit_fedqml import cli
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.study import StudyConfig
from qiskit_fedqml.config.yaml_files import parse_yaml
from tests.conftest import ROOT

NOT_RUN = {"docs/devices.md": "its rehearsals take minutes, and its devices cannot be reached"}
"""Pages whose blocks do not run unless they say how, and why."""
SMALL = {
    "data": {"dataset": "digits", "classes": [0, 1]},
    "model": {"hidden": [8], "dropout": 0.0},
    "federation": {"clients": 4, "clients_per_round": 2, "rounds": 1, "learning_rate": 0.05},
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}},
        "assignment": {"default": {"cycle": ["ideal", "noisy"]}},
    },
}
"""What fragments of an experiment file are put into."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
MARKERS = [marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]


class Reader:
    """Works in a folder that holds a checkout's experiments and backends file.

    Args:
        folder: The folder.
        monkeypatch: Undoes what this changes.
        has_time: Whether slow blocks run too.
    """

    def __init__(self, folder, monkeypatch, *, has_time):
        self.folder, self.monkeypatch, self.has_time = folder, monkeypatch, has_time
        self.names = {"__name__": "__page__"}
        (folder / "experiments").symlink_to(ROOT / "experiments")
        shutil.copy(ROOT / "backends.yaml", folder)
        monkeypatch.chdir(folder)
        for path in (ROOT / "experiments", folder):
            monkeypatch.syspath_prepend(str(path))

    def read(self, block):
        """Check a block, and run it unless it says why not."""
        assert block.language in KINDS, f"{block.place}: nothing is known of blocks of {block.language!r}"
        if "file" in block.hints:
            (self.folder / block.hints["file"]).write_text(block.text, encoding="utf-8")
        KINDS[block.language](self, block)

    def runs(self, block):
        """Whether a block's code or commands run."""
        if "not run:" in block.hints or (block.page in NOT_RUN and not block.hints):
            return False
        return self.has_time or "slow" not in block.hints

    def _python(self, block):
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
        if self.runs(block):
            exec(code, {"__name__": block.hints["file"]} if "file" in block.hints else self.names)

    def _yaml(self, block):
        values = parse_yaml(block.text, block.place)
        if "backends" in values and not values.keys() - {"backends", "assignment", "budget_seconds"}:
            BackendsFile.model_validate(values)
        elif {"experiment", "seeds"} <= values.keys():
            StudyConfig.model_validate(values)
        elif {"data", "federation"} <= values.keys():
            Experiment.model_validate(values)
        else:
            Experiment.model_validate(_merged(SMALL, values))

    def _shell(self, block):
        for program, *arguments in _commands(block.text):
            assert program in PROGRAMS, f"{block.place}: nothing is known of the command {program!r}"
            for word in (program, *arguments):
                if re.match(r"(experiments|docs|tests|\.ci)/|backends\.yaml", word):
                    assert (ROOT / word).exists(), f"{block.place}: there is no {word}"
            PROGRAMS[program](self, block, arguments)

    def _fedqml(self, block, arguments):
        """Read a command's arguments as it does, and run it."""
        group = typer.main.get_command(cli.app)
        context = group.make_context("fedqml", list(arguments))
        name, command, rest = group.resolve_command(context, list(arguments))
        command.make_context(name, list(rest), parent=context)
        if not self.runs(block):
            return
        if any("--set" in parameter.opts for parameter in command.params):
            for setting in shlex.split(block.hints.get("set", "")):
                arguments = [*arguments, "--set", setting]
        self.monkeypatch.setattr(sys, "argv", ["fedqml", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, f"{block.place}: `fedqml {shlex.join(arguments)}` failed"

    def _script(self, block, arguments):
        """Read a script's arguments as it does; continuous integration runs each script at its smallest size."""
        if arguments[0] == "-m":
            assert arguments[1] == "venv", f"{block.place}: nothing is known of `python -m {arguments[1]}`"
            return

        class Parsed(Exception):
            pass

        def parse(parser, args=None, namespace=None):
            own(parser, args, namespace)
            raise Parsed

        own = argparse.ArgumentParser.parse_args
        main = runpy.run_path(str(ROOT / arguments[0]))["main"]
        with self.monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse)
            patch.setattr(sys, "argv", arguments)
            with pytest.raises(Parsed):
                main()

    def _pip(self, block, arguments):
        assert arguments[0] == "install", block.place
        for target in arguments[1:]:
            named = re.fullmatch(r"(?:\.|qiskit-fedqml)\[(.*)\]", target)
            assert named or target in ("-e", "."), f"{block.place}: this project is installed, not {target!r}"
            for extra in named[1].split(",") if named else ():
                assert extra in EXTRAS, f"{block.place}: there is no extra {extra!r}"

    def _pytest(self, block, arguments):
        parser = argparse.ArgumentParser()
        parser.add_argument("-m", choices=MARKERS)
        parser.add_argument("-n", type=int)
        parser.add_argument("paths", nargs="*")
        parser.parse_args(arguments)

    def _nothing(self, block, *arguments):
        """Take what is shown as it is."""


@contextmanager
def modules_forgotten(folder):
    """Forget the modules that a page has written to a folder; another page may use their names again."""
    before = set(sys.modules)
    yield
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(folder)):
            del sys.modules[module]


KINDS = {
    **{"python": Reader._python, "setup": Reader._python, "yaml": Reader._yaml, "sh": Reader._shell},
    **dict.fromkeys(("table", "mermaid", "text", "bibtex", "{toctree}"), Reader._nothing),
}
PROGRAMS = {
    **{"fedqml": Reader._fedqml, "python": Reader._script, "pip": Reader._pip, "pytest": Reader._pytest},
    **dict.fromkeys((".", "cd", "export", "ruff", "mypy", "sphinx-build", "tensorboard", ".ci/run"), Reader._nothing),
    **dict.fromkeys(("flower-superlink", "flower-supernode", "flwr", "nginx"), Reader._nothing),
}


def _merged(base, change):
    """Return nested mappings with others put into them; another dataset or backends file replaces the old one whole."""
    both = dict(base)
    for key, value in change.items():
        is_other = isinstance(value, dict) and bool({"dataset", "python", "backends"} & value.keys())
        is_nested = isinstance(value, dict) and isinstance(base.get(key), dict) and not is_other
        both[key] = _merged(base[key], value) if is_nested else value
    return both


def _commands(text):
    """Yield the commands of a shell block as lists of words, without comments and variables."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            command, words = words[:end], words[end + 1 :]
            while re.match(r"[A-Z_]+=", command[0]):
                command = command[1:]
            yield command
