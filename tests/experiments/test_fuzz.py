"""Three hundred of the fuzzer's inputs: none of them ends in a traceback, hangs, or changes a result unseen."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_three_hundred_inputs():
    command = [sys.executable, str(ROOT / "experiments" / "fuzz.py"), "--inputs", "300", "--seed", "7"]
    command += ["--seconds", "60"]  # a busy machine is no finding
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| all " in done.stdout
