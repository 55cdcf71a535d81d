import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from qiskit_fedqml.data.image_tree import read_tree
from qiskit_fedqml.errors import DataError
from tests.data.samples import save_images


@pytest.fixture
def pets(tmp_path):
    save_images(tmp_path / "pets", ["cat", "dog"], 3)
    return tmp_path / "pets"


def names(root):
    tree = read_tree(root)
    return [str(path.relative_to(root)) for path in tree.files.values()]


SOUND = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(3)]


def test_images_are_sorted_by_class_and_path(pets):
    (pets / "cat" / "more" / "deep").mkdir(parents=True)
    shutil.copy(pets / "cat" / "0.png", pets / "cat" / "more" / "deep" / "9.PNG")
    tree = read_tree(pets)
    assert tree.classes == ("cat", "dog")
    assert names(pets) == [*SOUND[:3], "cat/more/deep/9.PNG", *SOUND[3:]]
    np.testing.assert_array_equal(tree.labels, [0] * 4 + [1] * 3)


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", ".Trash-1000", "@eaDir", "$RECYCLE.BIN", ".git"])
def test_hidden_and_system_folders_are_no_data(pets, folder, caplog):
    for place in (pets, pets / "cat"):
        shutil.copytree(pets / "dog", place / folder)
    assert names(pets) == SOUND
    assert not caplog.records


def test_hidden_and_system_files_are_no_data(pets, caplog):
    for name in ("._0.png", ".hidden.jpg", "Thumbs.db", ".DS_Store", "desktop.ini", "Icon\r"):
        (pets / name).write_bytes(b"no image")
        (pets / "cat" / name).write_bytes(b"no image")
    assert names(pets) == SOUND
    assert not caplog.records


def test_all_that_pillow_reads_is_taken_and_the_rest_is_counted(pets, caplog):
    for suffix in ("tif", "gif", "jfif", "ppm", "TIFF", "bmp"):
        Image.new("RGB", (4, 4)).save(pets / "cat" / f"x.{suffix}")
    (pets / "cat" / "folder.png").mkdir()
    (pets / "dog" / "a.heic").touch()
    (pets / "dog" / "b.heic").touch()
    (pets / "dog" / "notes").touch()
    (pets / "stray.png").touch()
    (pets / "README.txt").touch()
    os.mkfifo(pets / "dog" / "pipe.png")
    with caplog.at_level(logging.WARNING):
        assert len(names(pets)) == 12
    (record,) = caplog.records
    for said in ("2 .heic", "1 file without suffix", "1 image next to", "1 .txt next to", "1 no regular file"):
        assert said in record.message


def test_long_counts_are_cut(pets, caplog):
    for i in range(30):
        (pets / "cat" / f"a.x{i}").touch()
    read_tree(pets)
    assert "… 22 more." in caplog.text


def test_links_are_followed_and_never_without_end(pets, tmp_path, caplog):
    save_images(tmp_path / "store", ["more"], 2, colour=9)
    (pets / "cat" / "more").symlink_to(tmp_path / "store" / "more")
    (pets / "cat" / "one.png").symlink_to(tmp_path / "store" / "blob")
    Image.new("RGB", (4, 4)).save(tmp_path / "store" / "blob", "png")
    (pets / "cat" / "up").symlink_to(pets)
    (pets / "cat" / "itself").symlink_to(pets / "cat")
    (tmp_path / "store" / "more" / "circle").symlink_to(tmp_path / "store" / "more")
    assert names(pets) == [*SOUND[:3], "cat/more/0.png", "cat/more/1.png", "cat/one.png", *SOUND[3:]]
    assert not caplog.records


def test_a_class_may_be_a_link(pets, tmp_path):
    save_images(tmp_path / "store", ["birds"], 2, colour=9)
    (pets / "bird").symlink_to(tmp_path / "store" / "birds")
    assert read_tree(pets).classes == ("bird", "cat", "dog")


def test_a_file_counts_once_in_a_class_and_never_in_two(pets, caplog):
    (pets / "cat" / "again.png").symlink_to(pets / "cat" / "0.png")
    (pets / "cat" / "again").symlink_to(pets / "cat")
    assert names(pets) == SOUND
    assert "left out 1 further link to an image" in caplog.text
    (pets / "dog" / "cat.png").symlink_to(pets / "cat" / "0.png")
    with pytest.raises(DataError, match=r"cat/0.png and .*dog/cat.png are one file, in two classes"):
        read_tree(pets)


@pytest.mark.parametrize("place", ["dead.png", "cat/dead.png", "cat/dead", "dead"])
def test_links_that_lead_nowhere_are_named(pets, place):
    (pets / place).symlink_to("/nonexistent")
    with pytest.raises(DataError, match=rf"{place} is a link that cannot be followed: No such file"):
        read_tree(pets)
    (pets / place).unlink()
    (pets / place).symlink_to(pets / place)
    with pytest.raises(DataError, match=rf"{place} is a link that cannot be followed: "):
        read_tree(pets)


def test_names_of_classes(pets):
    os.mkdir(os.fsencode(pets) + b"/b\xe9b\xe9")
    with pytest.raises(DataError, match=r"a class folder whose name is no UTF-8 text: .*udce9") as caught:
        read_tree(pets)
    assert str(caught.value).encode()
    os.rmdir(os.fsencode(pets) + b"/b\xe9b\xe9")
    shutil.copytree(pets / "cat", pets / "be\u0301be\u0301")
    assert read_tree(pets).classes == ("b\xe9b\xe9", "cat", "dog")
    shutil.copytree(pets / "cat", pets / "b\xe9b\xe9")
    with pytest.raises(DataError, match="differ only in spelling"):
        read_tree(pets)


def test_classes_that_differ_in_case_alone(pets):
    shutil.copytree(pets / "cat", pets / "Cat")
    with pytest.raises(DataError, match="class folders 'Cat' and 'cat', which differ only in spelling"):
        read_tree(pets)


def test_names_of_files_need_not_be_utf8(pets):
    shutil.copy(pets / "cat" / "0.png", os.fsencode(pets) + b"/cat/\xe9.png")
    assert len(read_tree(pets).files) == 7


def test_classes_without_images_and_folders_that_are_none(pets):
    (pets / "empty").mkdir()
    with pytest.raises(DataError, match="empty must hold images .* but holds nothing"):
        read_tree(pets)
    (pets / "empty" / "a.heic").touch()
    with pytest.raises(DataError, match=r"empty must hold images .* but holds 1 \.heic"):
        read_tree(pets)
    with pytest.raises(DataError, match=r"at least two classes, but has \[\]"):
        read_tree(pets / "cat")
    with pytest.raises(DataError, match=r"0.png cannot be read as a folder: Not a directory"):
        read_tree(pets / "cat" / "0.png")
