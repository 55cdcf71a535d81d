import json
from importlib.util import find_spec

import pytest

from tests.flower.machines import wait_for

# Flower is an extra that not everybody installs.
collect_ignore_glob = [] if find_spec("flwr") else ["test_*.py"]


@pytest.fixture(scope="session")
def story(tmp_path_factory, worker_id):
    """Return what came of the deployment, which happens once however many processes test."""
    from tests.flower import story

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "deployment-story"
    try:
        folder.mkdir()
    except FileExistsError:
        wait_for((folder / "outcome.json").exists, seconds=1500)
    else:
        story.tell(folder)
    outcome = story.Outcome(**json.loads((folder / "outcome.json").read_text(encoding="utf-8")))
    assert not outcome.error, outcome.error
    return outcome
