"""Runs an experiment whose devices are fake ones on a loopback server, and prints what the server counted.

Each rehearsed device becomes one of the server's, which the real client library reaches over HTTP::

    python -m tests.count_at_server experiments/rehearsal.yaml --set federation.rounds=1
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.ibm_server import IBMServer


def main() -> None:
    """Run the experiment, and print the server's count next to the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="an experiment file with devices that are fake ones")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `fedqml run`")
    arguments = parser.parse_args()

    from qiskit_fedqml import load_experiment, run_federation
    from qiskit_fedqml.config.loading import parse_override
    from qiskit_fedqml.results.folder import RunFolder

    overrides = dict(map(parse_override, arguments.set))
    entries = load_experiment(arguments.experiment, overrides).resolved()["backends"]["backends"]
    fakes = {name: entry["device"] for name, entry in entries.items() if entry["type"] == "ibm"}
    with (
        IBMServer({f"ibm_{name}": fake for name, fake in fakes.items()}) as server,
        tempfile.TemporaryDirectory() as out,
    ):
        os.environ.update(server.environment)
        for name in fakes:
            overrides[f"backends.backends.{name}.device"] = f"ibm_{name}"
            overrides[f"backends.backends.{name}.waiting"] = {"poll_seconds": 0.2}
        result = run_federation(load_experiment(arguments.experiment, overrides), Path(out) / "run")
        planned = sum(s.planned_seconds or 0.0 for s in RunFolder(Path(out) / "run").submissions())
        executions = sum(job.executions for job in server.jobs)
        seconds = sum(job.quantum_seconds for job in server.jobs)
        sys.stdout.write(
            f"The server counted {len(server.jobs)} jobs, {executions:,} executions and {seconds:.2f} QPU seconds.\n"
            f"The plan has {planned:.2f} QPU seconds. Testing accuracy: {result.rounds[-1].test_accuracy:.2%}.\n"
        )


if __name__ == "__main__":
    main()
