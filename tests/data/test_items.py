import numpy as np
import pytest
import torch
from PIL import Image

from qiskit_fedqml.data.items import as_input, as_label, as_pair

RGB = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
GREY = RGB[..., 0]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (Image.fromarray(RGB), RGB),
        (Image.fromarray(GREY), GREY),
        (RGB, RGB),
        (GREY, GREY),
        (GREY[..., None], GREY),
        (torch.from_numpy(RGB), RGB),
        (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
        (torch.from_numpy(RGB).permute(2, 0, 1) / 255, RGB),
        (torch.from_numpy(GREY)[None] / 255, GREY),
        (RGB.transpose(2, 0, 1) / 255.0, RGB),
        ([1, 2.5], np.array([1, 2.5], np.float32)),
        (torch.tensor([1.0, 2.5], requires_grad=True), np.array([1, 2.5], np.float32)),
        (torch.tensor([1.0, 2.5], dtype=torch.bfloat16), np.array([1, 2.5], np.float32)),
    ],
)
def test_inputs(x, expected):
    found = as_input(x)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_transparent_pixels_show_white_as_those_of_files_do():
    image = Image.fromarray(np.dstack([RGB, np.eye(4, 5, dtype=np.uint8) * 255]))
    pixels = as_input(image)
    np.testing.assert_array_equal(pixels[0, 0], RGB[0, 0])
    np.testing.assert_array_equal(pixels[0, 1], [255] * 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("a.jpg", "x must be an image .* but is a str"),
        (None, "but is a NoneType"),
        ([[1], [1, 2]], "but is a list"),
        (np.float32(3.0), r"is of shape \(\) and type float32"),
        (np.zeros((4, 5)), r"is of shape \(4, 5\) and type float64"),
        (np.zeros((4, 5, 3)), r"is of shape \(4, 5, 3\) and type float64"),
        (np.zeros((4, 5, 4), np.uint8), r"is of shape \(4, 5, 4\) and type uint8"),
        (np.zeros(0), r"is of shape \(0,\)"),
        (np.array([1j]), "type complex128"),
        ([1.0, np.nan], r"x must be finite as float32, but x\[1\] is nan"),
        ([1e300], r"x must be finite as float32, but x\[0\] is 1e\+300"),
        (torch.full((3, 4, 5), -0.5), r"must be from 0 \(black\) to 1 \(white\).* but are from -0.5 to -0.5"),
        (torch.full((3, 4, 5), np.nan), "but are from nan to nan"),
        (Image.new("F", (4, 5), 7.0), "the image cannot be read: pixels that are floats"),
    ],
)
def test_what_is_no_input(x, message):
    with pytest.raises(ValueError, match=message):
        as_input(x)


@pytest.mark.parametrize("y", [3, np.int8(3), torch.tensor(3), torch.tensor([3]), np.array(3, np.uint64)])
def test_labels(y):
    assert as_label(y) == 3
    assert isinstance(as_label(y), int)


@pytest.mark.parametrize("y", [3.0, "3", None, True, torch.tensor(3.0), torch.tensor([3, 4]), np.bool_(1), 2**70])
def test_what_is_no_label(y):
    with pytest.raises(ValueError, match="y must be an integer, but is"):
        as_label(y)


@pytest.mark.parametrize(
    ("item", "message"),
    [(RGB, "a pair .* but is a ndarray"), ((RGB,), "a tuple of 1"), ({"x": RGB, "y": 1}, "but is a dict")],
)
def test_what_is_no_pair(item, message):
    with pytest.raises(ValueError, match=message):
        as_pair(item)
