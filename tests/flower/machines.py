"""The machines of a deployment on this computer: each command is taken from the deployment's README, as it stands."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 400.0


def free_ports(count):
    """Return ports that nothing listens on, nor on the next, and that no system gives to outgoing connections."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20000, 32000, 2)
        with suppress(OSError), socket.socket() as one, socket.socket() as after:
            one.bind(("127.0.0.1", port))
            after.bind(("127.0.0.1", port + 1))
            if port not in found:
                found.append(port)
    return found


def wait_for(what, seconds=PATIENCE_SECONDS):
    """Wait until a function returns something true, and return that."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, what
        time.sleep(0.05)
    return found


def _listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Machines:
    """Starts and kills what a README says.

    Args:
        folder: The deployment.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.running = {}
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, block):
        """Return the commands of a block of the README."""
        text = (self.folder / "README.md").read_text(encoding="utf-8")
        return re.search(rf"<!-- {block} -->\n```sh\n(.*?)```", text, re.DOTALL)[1]

    def log(self, name):
        """Return what a machine has said so far."""
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, block, command=None):
        """Start what a block says, in a process group of its own."""
        with (self.folder / f"{block}.log").open("ab") as log:
            self.running[block] = subprocess.Popen(
                ["bash", "-e", "-c", command or self.command(block)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self.running[block]

    def run(self, block):
        """Do what a block says, and wait for its end."""
        return subprocess.run(
            ["bash", "-e", "-c", self.command(block)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start_superlink(self):
        """Start the SuperLink, and wait until it listens."""
        port = int(re.search(r"--port (\d+)", self.command("superlink"))[1])
        self.start("superlink")
        wait_for(lambda: _listens(port) or self._ended("superlink"))
        assert not self._ended("superlink"), self.log("superlink")

    def start_gate(self):
        """Start nginx, and wait until it listens."""
        port = int(re.search(r"listen (\d+)", (self.folder / "server" / "nginx.conf").read_text(encoding="utf-8"))[1])
        self.start("gate")
        wait_for(lambda: _listens(port) or self._ended("gate"))
        assert not self._ended("gate"), self.log("gate")

    def start_node(self, client, *, after_kill=False):
        """Start a node, and wait until the SuperLink knows it; one that was killed is refused for up to a minute."""
        name = f"client {client}"
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._joins(name):
            assert after_kill, self.log(name)
            assert time.monotonic() < until, self.log(name)
            time.sleep(1)

    def _joins(self, name):
        """Start a node; return whether the SuperLink took it."""
        before = self.log(name).count("SuperNode ID")
        self.start(name)
        wait_for(lambda: self.log(name).count("SuperNode ID") > before or self._ended(name))
        return not self._ended(name)

    def kill(self, name):
        """Kill a machine and all that it started, without a warning."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self):
        """Kill whatever still runs."""
        for name in list(self.running):
            self.kill(name)

    def _ended(self, name):
        return self.running[name].poll() is not None
