import logging

import numpy as np
import pytest
from PIL import Image

from qiskit_fedqml.data.images import ArrayImages, FileImages
from qiskit_fedqml.errors import DataError
from tests.data.samples import save_images, save_npz


def test_grey_images_become_rgb():
    grey = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    read = ArrayImages(grey).read(np.array([0]), 4)
    np.testing.assert_array_equal(read[0, :, :, 0], grey[0])
    np.testing.assert_array_equal(read[0, :, :, 2], grey[0])


def test_fingerprints_follow_content(here):
    arrays = save_npz(here / "d.npz")
    first = ArrayImages(arrays["x_train"]).fingerprint
    changed = arrays["x_train"].copy()
    changed[0, 0, 0, 0] ^= 1
    assert ArrayImages(changed).fingerprint != first
    assert ArrayImages(arrays["x_train"].copy()).fingerprint == first
    save_images(here / "a", ["x", "y"], 1)
    paths = sorted((here / "a").rglob("*.png"))
    assert FileImages(paths).fingerprint != FileImages(paths[::-1]).fingerprint


def test_cached_features_end_with_the_rules_of_reading(here, monkeypatch):
    save_images(here / "a", ["x", "y"], 1)
    paths = sorted((here / "a").rglob("*.png"))
    before = FileImages(paths).fingerprint
    monkeypatch.setattr("qiskit_fedqml.data.images.READING_RULES", 1)
    assert FileImages(paths).fingerprint != before


@pytest.mark.parametrize("name", ["gone.png", "folder.png", "gone\udce9.png"])
def test_files_that_cannot_be_read_are_named(here, name):
    (here / "folder.png").mkdir()
    for ask in (lambda images: images.fingerprint, lambda images: images.read(np.array([0]), 4)):
        with pytest.raises(DataError, match=r"(gone|folder)(\\udce9)?\.png cannot be read") as caught:
            ask(FileImages([here / name]))
        assert str(caught.value).encode()


def test_further_frames_are_left_out_with_one_word(here, caplog):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for name in ("a.gif", "b.tif", "c.png", "d.webp"):
        frames[0].save(
            here / name, save_all=True, append_images=frames[1:], **({"lossless": True} if "d" in name else {})
        )
    frames[0].save(here / "e.mpo", save_all=True, append_images=frames[1:])  # a photo with a preview
    frames[0].save(here / "one.gif")
    with caplog.at_level(logging.WARNING):
        images = FileImages([here / name for name in ("e.mpo", "one.gif")])
        assert not images.read(np.arange(2), 4)[..., 1:].any()
        assert not caplog.records
        images = FileImages([here / name for name in ("a.gif", "b.tif", "c.png", "d.webp")])
        pixels = images.read(np.arange(4), 4)
        assert (pixels[..., 0] == 255).all()
        assert not pixels[..., 2].any()
    (record,) = caplog.records
    assert "a.gif has several frames; of it, and of any other such file, the first alone is read" in record.message
    for name in ("a.gif", "b.tif", "c.png", "d.webp"):
        caplog.clear()
        FileImages([here / name]).read(np.array([0]), 4)
        assert len(caplog.records) == 1, name
