"""Finding image files."""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path
from typing import TextIO, cast

import pytest
from dicom_maker import codes_of, write
from PIL import Image

from tier_cli.imaging.discover import Source, discover
from tier_cli.imaging.sniff import content_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of images and other things."""
    for folder in ("b", "a/deep", "c.dcm"):
        (tmp_path / folder).mkdir(parents=True)
    picture = Image.fromarray(codes_of(8, signed=False))
    picture.save(tmp_path / "b" / "2.png")
    picture.save(tmp_path / "b" / "10.jpg")
    picture.save(tmp_path / "a" / "no_ending", format="TIFF")
    write(tmp_path / "a" / "deep" / "IM0001")
    (tmp_path / "a" / "labels.csv").write_text("path,label\n")
    (tmp_path / "a" / "fake.dcm").write_text("only text")
    (tmp_path / "empty.png").touch()
    return tmp_path


def names(found: list[Source], root: Path) -> list[str]:
    return [os.path.relpath(source.path, root) for source in found]


def test_folders_give_images_by_content_in_a_stable_order(tree: Path) -> None:
    found = list(discover([str(tree)]))
    assert names(found, tree) == ["a/deep/IM0001", "a/no_ending", "b/10.jpg", "b/2.png"]
    assert all(source.error is None for source in found)


def test_a_named_path_is_always_yielded(tree: Path) -> None:
    named = [str(tree / "a" / "labels.csv"), str(tree / "missing"), "", str(tree / "b" / "2.png")]
    found = list(discover(named))
    assert [source.path for source in found] == named
    kinds = [source.error.kind if source.error else None for source in found]
    assert kinds == [None, "missing", "missing", None]


def test_globs_that_the_shell_did_not_expand(tree: Path) -> None:
    assert names(list(discover([str(tree / "b" / "*")])), tree) == ["b/10.jpg", "b/2.png"]
    assert names(list(discover([str(tree / "**" / "*.png")])), tree) == ["b/2.png", "empty.png"]
    deep = list(discover([str(tree / "a*")]))
    assert names(deep, tree) == ["a/deep/IM0001", "a/no_ending"]
    (nothing,) = discover([str(tree / "*.tif")])
    assert nothing.error is not None
    assert nothing.error.kind == "missing"


def test_a_file_whose_name_looks_like_a_glob(tree: Path) -> None:
    odd = tree / "b" / "[1].png"
    (tree / "b" / "2.png").rename(odd)
    assert list(discover([str(odd)])) == [Source(str(odd))]


def test_a_list_on_stdin(tree: Path) -> None:
    lines = io.StringIO(f"{tree}/b/2.png\n\n{tree}/nowhere\r\n{tree}/a\n")
    found = list(discover(["-"], lines))
    assert names(found, tree) == ["b/2.png", "nowhere", "a/deep/IM0001", "a/no_ending"]
    assert found[1].error is not None


def test_discovery_is_lazy(tree: Path) -> None:
    lines = cast(TextIO, itertools.repeat(f"{tree}/b/2.png\n"))
    found = discover(["-"], lines)
    assert [next(found) for _ in range(3)] == [Source(f"{tree}/b/2.png")] * 3


def test_links(tree: Path) -> None:
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "b" / "folder").symlink_to(tree / "a" / "deep")
    (tree / "b" / "gone").symlink_to(tree / "nowhere")
    found = list(discover([str(tree)]))
    assert names(found, tree) == [
        "a/deep/IM0001",
        "a/no_ending",
        "b/10.jpg",
        "b/2.png",
        "b/folder/IM0001",
        "b/gone",
    ]
    assert [source.error.kind for source in found if source.error] == ["missing"]


def test_a_link_to_itself_is_one_error_and_the_rest_is_yielded(tree: Path) -> None:
    (tree / "a" / "itself").symlink_to("itself")
    found = list(discover([str(tree)]))
    assert names(found, tree) == ["a/deep/IM0001", "a/itself", "a/no_ending", "b/10.jpg", "b/2.png"]
    (error,) = [source.error for source in found if source.error]
    assert error.kind == "unreadable"


def test_pipes_are_not_waited_for(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert "pipe" not in names(list(discover([str(tree)])), tree)
    (named,) = discover([str(tree / "pipe")])
    assert named.error is not None
    assert named.error.kind == "unreadable"


def test_a_media_directory_in_a_folder_is_skipped(tree: Path) -> None:
    index = tree / "DICOMDIR"
    content = Path(write(index)).read_bytes()
    class_uid = b"1.2.840.10008.1.3.10"
    index.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.1.1\0", class_uid.ljust(28, b"\0")))
    assert "DICOMDIR" not in names(list(discover([str(tree)])), tree)


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (bytes(128) + b"DICM", "dicom"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x08\x00\x08\x00CS\x02\x00A\\1234", "dicom"),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100\x08\x00\x08\x00\x02\x00\x00\x00A\\0000", "dicom"),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100\x00\x08\x00\x08CS\x00\x04A\\B\\", "dicom"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"", None),
        (bytes(1024), None),
        (b"path,label\n" * 90, None),
        (b"\x08\x00" * 500, None),
        (b"PK\x03\x04" + bytes(100), None),
    ],
)
def test_content(head: bytes, content: str | None) -> None:
    assert content_of(head) == content
