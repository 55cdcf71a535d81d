"""A trained model classifies new images and features, as its run's evaluation does."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qiskit_fedqml import load_classifier, resume_federation, run_federation
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.cli import main
from qiskit_fedqml.errors import DataError, ResultError
from qiskit_fedqml.results.evaluation import evaluate_model
from tests.conftest import make_tiny
from tests.stopping import Interrupt, StopAfter


def fedqml(monkeypatch, capsys, *words):
    """Run a command; return its exit code and what it printed."""
    monkeypatch.setattr("sys.argv", ["fedqml", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def array(**entries):
    """Return the backends of an array."""
    return BackendRegistry(make_tiny(backends={"backends": {"ideal": {"type": "aer"}} | entries}).backends, Path())


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """The folder of a run on ready features, its test data as x, and what its evaluation gave."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    x = {part: rng.normal(size=(20, 3)).astype(np.float32) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(20) % 2 for part in x}
    np.savez(folder / "data.npz", **{f"x_{part}": values for part, values in x.items()}, **labels)
    data = {"dataset": "npz", "path": str(folder / "data.npz")}
    run = run_federation(
        make_tiny(data=data, features={"scaling": {"method": "client_sums", "center": True}}), folder / "run"
    )
    evaluation = evaluate_model(folder / "run", BackendRegistry(run.experiment.backends, Path()).server)
    return folder / "run", x["test"], evaluation


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The folder of a run on a folder of pictures, with the pictures and the weights next to it."""
    torchvision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for split in ("train", "test"):
        for name, low in (("cats", 0), ("dogs", 120)):
            (folder / "data" / split / name).mkdir(parents=True)
            for number in range(5):
                pixels = rng.integers(low, low + 130, (18, 20, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "data" / split / name / f"{number}.png")
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "weights.pth")
    features = {
        **{"backbone": "squeezenet1_1", "layer": "features.2", "weights": str(folder / "weights.pth")},
        **{"image_size": 16, "pooling": "average"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDQML_CACHE", str(folder / "cache"))
        data = {"dataset": "image_folder", "path": str(folder / "data")}
        run = run_federation(make_tiny(data=data, features=features), folder / "run")
        with pytest.raises(Interrupt):
            run_federation(run.experiment, folder / "unfinished", observer=StopAfter(1, -1))
        evaluation = evaluate_model(folder / "run", BackendRegistry(run.experiment.backends, Path()).server)
    return folder, evaluation


def test_pictures_get_the_outputs_of_the_evaluation(pictures):
    folder, evaluation = pictures
    found = load_classifier(folder / "run").predict_images(folder / "data" / "test")
    assert [Path(name).parent.name for name in found.names] == ["cats"] * 5 + ["dogs"] * 5
    np.testing.assert_allclose(found.logits, evaluation.logits, atol=1e-5)
    assert list(found.labels) == [found.classes[i] for i in evaluation.logits.argmax(axis=1)]
    weights = np.exp(found.logits)
    np.testing.assert_allclose(found.probabilities, weights / weights.sum(axis=1, keepdims=True), atol=1e-12)
    assert found.classes == ("cats", "dogs")
    assert not found.unreadable


def test_files_folders_and_arrays_of_pictures_give_the_same(pictures, tmp_path):
    folder, _ = pictures
    classifier = load_classifier(folder / "run")
    files = sorted((folder / "data" / "test" / "cats").iterdir())
    pixels = np.stack([np.asarray(Image.open(path)) for path in files])
    np.savez(tmp_path / "cats.npz", x=pixels)
    whole = classifier.predict_images([*files, files[0]])
    assert len(whole) == 5  # a file that is named twice counts once
    np.testing.assert_array_equal(classifier.predict_images(files[0].parent).logits, whole.logits)
    arrays = classifier.predict_images(tmp_path / "cats.npz")
    np.testing.assert_array_equal(arrays.logits, whole.logits)
    assert arrays.names[3] == f"{tmp_path / 'cats.npz'}[3]"


def test_what_cannot_be_read_is_named_and_left_out(pictures, tmp_path, monkeypatch, capsys):
    folder, _ = pictures
    shutil.copytree(folder / "data" / "test" / "cats", tmp_path / "new" / "deeper")
    (tmp_path / "new" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "new" / "notes.txt").write_text("no image, and left out silently")
    words = ["predict", folder / "run", tmp_path / "new", tmp_path / "none.png", "--out", tmp_path / "found.csv"]
    code, out, err = fedqml(monkeypatch, capsys, *words, "--json", tmp_path / "found.json")
    assert code == 0
    assert "5 examples on ideal" in out
    assert "P(cats)" in out
    assert "broken.jpg cannot be read as an image" in err
    assert "none.png" in err
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert sum(float(rows[0][f"probability {name}"]) for name in ("cats", "dogs")) == pytest.approx(1)
    assert "cannot be read" in rows[-1]["unreadable"] + rows[-2]["unreadable"]
    read_back = json.loads((tmp_path / "found.json").read_text())
    assert [one["predicted"] for one in read_back["predictions"]] == [row["predicted"] for row in rows[:5]]
    assert len(read_back["unreadable"]) == 2
    assert fedqml(monkeypatch, capsys, *words)[0] == 0  # found.csv is there, and the same
    (tmp_path / "found.csv").write_text("mine")
    code, _, err = fedqml(monkeypatch, capsys, *words)
    assert code == 6
    assert "found.csv exists already; choose another name, or replace it (--overwrite)." in err
    assert (tmp_path / "found.csv").read_text() == "mine"
    code, _, err = fedqml(monkeypatch, capsys, "predict", folder / "run", tmp_path / "new" / "broken.jpg")
    assert code == 3
    assert "Nothing can be classified: " in err


def test_weights_that_are_gone_are_one_clear_error(pictures, tmp_path):
    folder, _ = pictures
    (folder / "weights.pth").rename(folder / "moved.pth")
    try:
        with pytest.raises(ResultError, match=r"the weights of its backbone are no longer there\. There is no '.*pth'"):
            load_classifier(folder / "run")
        (folder / "weights.pth").write_bytes((folder / "moved.pth").read_bytes() + b" ")
        for use in (load_classifier, resume_federation):
            with pytest.raises(ResultError, match=r"`features\.weights` are not those with which the run began\."):
                use(folder / "unfinished" if use is resume_federation else folder / "run")
    finally:
        (folder / "moved.pth").replace(folder / "weights.pth")


def test_features_get_the_outputs_of_the_evaluation(features, tmp_path, monkeypatch, capsys):
    folder, x, evaluation = features
    classifier = load_classifier(folder)
    found = classifier.predict_features(x)
    np.testing.assert_array_equal(found.logits, evaluation.logits)
    np.savez(tmp_path / "x.npz", x=x)
    lines = [",".join(map(repr, map(float, row))) for row in x]
    (tmp_path / "x.csv").write_text("\n".join(["a,b,c", *lines]))
    for name in ("x.npz", "x.csv"):
        again = classifier.predict_files(tmp_path / name)
        np.testing.assert_array_equal(again.logits, evaluation.logits)
        assert again.names[0] == f"{tmp_path / name}[0]"
    code, out, _ = fedqml(monkeypatch, capsys, "predict", folder, tmp_path / "x.csv", "--json", "-")
    assert code == 0
    read_back = json.loads(out)
    assert [one["predicted"] for one in read_back["predictions"]] == list(found.labels)


def test_the_highest_probability_that_there_can_be_is_said(features, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "x.npz", x=features[1])
    words = ["predict", features[0], tmp_path / "x.npz"]
    _, out, _ = fedqml(monkeypatch, capsys, *words)
    assert "Outputs are a circuit's expectations, so that no probability here can be more than 88.1%." in out
    found = json.loads(fedqml(monkeypatch, capsys, *words, "--json", "-")[1])
    assert found["highest_probability"] == pytest.approx(1 / (1 + np.exp(-2)))


def test_nothing_is_sent_to_a_device_where_a_file_is_in_the_way(features, tmp_path, monkeypatch, capsys):
    machines = "backends: {far: {type: ibm, device: ibm_nowhere}}\nassignment: {server: far, default: far}\n"
    (tmp_path / "machines.yaml").write_text(machines)
    (tmp_path / "found.csv").write_text("mine")
    words = ["predict", features[0], tmp_path / "x.npz", "--backend", "far", "--backends", tmp_path / "machines.yaml"]
    code, _, err = fedqml(monkeypatch, capsys, *words, "--out", tmp_path / "found.csv")
    assert code == 6
    assert "found.csv exists already" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no lines of numbers"),
        ("1,2\n", "must have 3 features for each example, but has 2"),
        ("1,2,3\n1,2\n", "example 2 has 2 values, but the first 3"),
        ("a,b,c\n1,x,3\n", "example 1 has the value 'x', no number"),
        ("1,nan,3\n", "must be finite"),
    ],
)
def test_csv_files_that_do_not_fit(features, tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_classifier(features[0]).predict_files(tmp_path / "x.csv")


def test_what_does_not_fit_the_model_is_refused(features, pictures, tmp_path):
    classifier = load_classifier(features[0])
    for wrong, message in (
        (np.ones(3), "of shape"),
        (np.ones((2, 4)), "3 features for each example, but has 4"),
        ([["a"]], "array of numbers"),
        (np.full((1, 3), np.nan), "finite"),
    ):
        with pytest.raises(DataError, match=message):
            classifier.predict_features(wrong)
    with pytest.raises(DataError, match="trained on ready features, so it cannot classify images"):
        classifier.predict_images(tmp_path)
    with pytest.raises(DataError, match="takes .npz and .csv files"):
        classifier.predict_files("picture.jpg")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3)))
    with pytest.raises(DataError, match="holds features, but the model was trained on images"):
        load_classifier(pictures[0] / "run").predict_files(tmp_path / "x.npz")
    with pytest.raises(DataError, match="no file was given"):
        classifier.predict_files([])


def test_another_backend_with_shots_repeats_itself(features):
    registry = array(noisy={"type": "aer", "noise": {"readout": 0.2}, "shots": 64})
    first, again = (load_classifier(features[0], registry["noisy"]).predict_features(features[1]) for _ in range(2))
    np.testing.assert_array_equal(first.logits, again.logits)
    assert np.abs(first.logits - features[2].logits).max() > 0.01
    assert first.backend == "noisy"
    assert first.usage.executions == 64 * first.usage.circuits > 0


def test_a_model_without_a_circuit_classifies_on_no_other_backend(tmp_path):
    run_federation(make_tiny(model__quantum="classical", model__circuit__num_layers=2), tmp_path / "run")
    assert len(load_classifier(tmp_path / "run").predict_features(np.zeros((3, 64)))) == 3
    registry = array(other={"type": "aer"})
    with pytest.raises(ResultError, match="runs no circuit, so it cannot be used on 'other'"):
        load_classifier(tmp_path / "run", registry["other"])


def test_a_fresh_process_gives_the_same(features, tmp_path):
    np.savez(tmp_path / "x.npz", x=features[1])
    script = (
        "import sys; from qiskit_fedqml import load_classifier; "
        "print(repr(load_classifier(sys.argv[1]).predict_files(sys.argv[2]).labels))"
    )
    command = [sys.executable, "-c", script, str(features[0]), str(tmp_path / "x.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = load_classifier(features[0]).predict_features(features[1]).labels
    assert done.stdout.strip() == repr(expected)


def test_digits_are_read_as_the_run_had_them_and_other_pixels_are_warned_of(tmp_path, caplog):
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(n_class=2, return_X_y=True)
    run_federation(make_tiny(federation__rounds=15), tmp_path / "run")
    classifier = load_classifier(tmp_path / "run")
    found = classifier.predict_features(pixels / 16)
    assert np.mean(np.array(found.labels) == digits.astype(str)) > 0.9
    assert not caplog.records
    classifier.predict_features(pixels)
    assert "between 0 and 16, those of the run's test data between 0 and 1" in caplog.text
