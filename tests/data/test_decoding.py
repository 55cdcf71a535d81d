import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from qiskit_fedqml.data.decoding import decode, readable_suffixes
from qiskit_fedqml.errors import DataError

EIGHT = np.array([[0, 85], [170, 255]], dtype=np.uint8)
SIXTEEN = EIGHT.astype(np.uint16) * 257


def pixels(path, size=2):
    return decode(path, size).pixels


def save_tiff(path, values, bits, white_is_zero=False):
    """Write a grey TIFF as few programs do: Pillow writes neither 12 bits nor white as zero."""
    tags = [(256, 2), (257, 2), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (273, 8), (277, 1), (278, 2)]
    tags.append((279, len(values)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = 8 + len(values)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, start) + values + directory)


@pytest.mark.parametrize("name", ["g.png", "g.tif", "g.pgm", "g.jp2"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(tmp_path, name):
    Image.fromarray(SIXTEEN).save(tmp_path / name)
    for channel in range(3):
        np.testing.assert_array_equal(pixels(tmp_path / name)[..., channel], EIGHT)


def test_grey_of_16_bits_in_either_byte_order_and_rounded(tmp_path):
    Image.frombytes("I;16B", (2, 2), SIXTEEN.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "big.tif")[..., 0], EIGHT)
    values = np.array([[128, 129], [32767, 65534]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "g.png")
    np.testing.assert_array_equal(pixels(tmp_path / "g.png")[..., 0], np.rint(values * (255 / 65535)))


def test_grey_of_other_depths(tmp_path):
    (tmp_path / "ten.pgm").write_bytes(b"P5 2 2 1023 " + np.array([0, 341, 682, 1023], ">u2").tobytes())
    np.testing.assert_array_equal(pixels(tmp_path / "ten.pgm")[..., 0], EIGHT)
    save_tiff(tmp_path / "twelve.tif", bytes.fromhex("000555aaafff"), bits=12)
    np.testing.assert_array_equal(pixels(tmp_path / "twelve.tif")[..., 0], EIGHT)
    save_tiff(tmp_path / "inverted.tif", SIXTEEN.tobytes(), bits=16, white_is_zero=True)
    np.testing.assert_array_equal(pixels(tmp_path / "inverted.tif")[..., 0], 255 - EIGHT)


@pytest.mark.parametrize("name", ["f.tif", "f.pfm"])
def test_floats_are_from_black_to_white(tmp_path, name):
    Image.fromarray((EIGHT / 255).astype(np.float32)).save(tmp_path / name)
    np.testing.assert_array_equal(pixels(tmp_path / name)[..., 0], EIGHT)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (EIGHT.astype(np.float32), "from 0 .black. to 1 .white., but are from 0.0 to 255.0"),
        (np.full((2, 2), -0.5, np.float32), "are from -0.5 to -0.5"),
        (np.full((2, 2), np.nan, np.float32), "but are from nan"),
        (SIXTEEN.astype(np.int32), "no defined range"),
    ],
)
def test_pixels_without_a_range_are_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "g.tif")
    with pytest.raises(DataError, match=f"g.tif cannot be read as an image: pixels .*{message}"):
        pixels(tmp_path / "g.tif")


def test_transparent_pixels_show_white(tmp_path):
    colour = np.full((2, 2, 3), [100, 0, 0], np.uint8)
    alpha = np.array([[0, 255], [128, 255]], np.uint8)
    rgba = np.dstack([colour, alpha])
    expected = [[[255, 255, 255], [100, 0, 0]], [[177, 127, 127], [100, 0, 0]]]
    for name in ("a.png", "a.tif"):
        Image.fromarray(rgba).save(tmp_path / name)
        np.testing.assert_array_equal(pixels(tmp_path / name), expected)
    Image.fromarray(np.dstack([EIGHT, alpha])).save(tmp_path / "la.png")
    np.testing.assert_array_equal(pixels(tmp_path / "la.png")[..., 0], [[255, 85], [212, 255]])
    for name, image in (("p.png", Image.fromarray(EIGHT).convert("P")), ("l.png", Image.fromarray(EIGHT))):
        image.save(tmp_path / name, transparency=0)
        np.testing.assert_array_equal(pixels(tmp_path / name)[..., 0], [[255, 85], [170, 255]])


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_alpha_channel_that_says_nothing_changes_nothing(tmp_path, alpha):
    Image.new("RGBA", (2, 2), (100, 0, 0, alpha)).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == [100, 0, 0]).all()


def test_other_modes(tmp_path):
    colour = Image.new("RGB", (16, 16), (200, 30, 60))
    colour.convert("CMYK").save(tmp_path / "cmyk.tif")
    assert (pixels(tmp_path / "cmyk.tif") == [200, 30, 60]).all()
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    np.testing.assert_allclose(pixels(tmp_path / "cmyk.jpg"), np.broadcast_to([200, 30, 60], (2, 2, 3)), atol=3)
    colour.convert("P").save(tmp_path / "palette.gif")
    np.testing.assert_allclose(pixels(tmp_path / "palette.gif"), np.broadcast_to([200, 30, 60], (2, 2, 3)), atol=30)
    Image.fromarray(EIGHT > 100).save(tmp_path / "one.png")
    np.testing.assert_array_equal(pixels(tmp_path / "one.png")[..., 1], [[0, 0], [255, 255]])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_images_are_turned_upright(tmp_path, suffix):
    corner = np.zeros((8, 16), dtype=np.uint8)
    corner[:4, :8] = 255
    upright = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
    for orientation, place in upright.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(corner).convert("RGB").save(tmp_path / f"o.{suffix}", exif=exif)
        bright = pixels(tmp_path / f"o.{suffix}")[..., 0] > 128
        assert list(zip(*np.nonzero(bright))) == [place], orientation


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_do_not_harm_the_pixels(tmp_path):
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"):
        Image.new("RGB", (8, 8), "white").save(tmp_path / "a.jpg", exif=exif)
        assert (pixels(tmp_path / "a.jpg") == 255).all()


def chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
BODY = zlib.compress(b"".join(b"\0" + bytes(range(row, row + 24)) for row in range(8)))
DATA, END = chunk(b"IDAT", BODY), chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "parts",
    [
        (chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2**21)), DATA),
        (chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"a" * 2**21)), DATA),
        (DATA, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2**21))),
        (chunk(b"tEXt", b"Comment\0broken", checksum=1), DATA),
        (chunk(b"pHYs", b"\0"), DATA),
        (chunk(b"gAMA", b""), DATA),
        (chunk(b"cHRM", b"\0"), DATA),
    ],
)
def test_png_whose_pixels_are_sound_is_read(tmp_path, parts):
    (tmp_path / "sound.png").write_bytes(SIGNATURE + HEAD + DATA + END)
    (tmp_path / "a.png").write_bytes(SIGNATURE + HEAD + b"".join(parts) + END)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png", 8), pixels(tmp_path / "sound.png", 8))
    assert pixels(tmp_path / "a.png", 8)[1, 0].tolist() == [1, 2, 3]


HALF = len(BODY) // 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        SIGNATURE,
        SIGNATURE + HEAD,
        SIGNATURE + HEAD + DATA[:30],
        SIGNATURE + HEAD + chunk(b"IDAT", BODY[:HALF]) + b"\0\0\0\x30\xa9\x8a\xbc\x07" + BODY[HALF:] + b"\0" * 4,
        SIGNATURE + HEAD + chunk(b"IDAT", BODY, checksum=7) + chunk(b"zTXt", b"C\0\0" + zlib.compress(b"a" * 2**21)),
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)) + DATA + END,
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 3, 9, 0, 0, 0)) + DATA + END,
        SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 8, 8, 2, 0, 0, 0)) + DATA + END,
        b"P5 8 8 x ",
        b"P5 99999999999 9 255 ",
        b"GIF89a" + b"\xff" * 20,
        b"II*\0\x08\0\0\0\x01\0\0\0\xff\xff",
        b"BM" + b"\xff" * 60,
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"qoif" + struct.pack(">IIBB", 8, 8, 3, 0),
    ],
)
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: .*[^.]\.$"):
        pixels(tmp_path / "a.png")


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(SIGNATURE + head + DATA + END)
    with pytest.raises(
        DataError, match="bomb.png cannot be read as an image: it has more than .* pixels; scale it down"
    ):
        pixels(tmp_path / "bomb.png")


@pytest.mark.parametrize("error", [ValueError("no"), SyntaxError("no"), struct.error("no"), MemoryError(), KeyError(1)])
def test_whatever_pillow_raises_is_mapped(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: (no|MemoryError|1)\."):
        pixels(tmp_path / "a.png")


def test_suffixes_are_those_of_pictures():
    usual = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2"}
    assert usual <= readable_suffixes()
    assert not {".pdf", ".eps", ".ps", ".h5", ".mpg", ".fits", ".txt", ""} & readable_suffixes()
