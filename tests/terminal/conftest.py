"""The command line, run in the tests' own process."""

import sys

import pytest

from qiskit_fedqml import cli


@pytest.fixture
def fedqml(monkeypatch, capsys):
    """Return a function that runs the command line; it gives exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedqml", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run
