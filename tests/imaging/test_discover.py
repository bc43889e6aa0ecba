"""Finding image files."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from dicom_maker import codes_of, write
from PIL import Image

from tier_cli.errors import InputError
from tier_cli.imaging.discover import PAUSE, PassedOver, Source, discover
from tier_cli.imaging.read import read_radiograph
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
    assert names(found, tree) == [
        "a/deep/IM0001",
        "a/fake.dcm",
        "a/no_ending",
        "b/10.jpg",
        "b/2.png",
        "empty.png",
    ]
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
    assert names(deep, tree) == ["a/deep/IM0001", "a/fake.dcm", "a/no_ending"]
    (nothing,) = discover([str(tree / "*.tif")])
    assert nothing.error is not None
    assert nothing.error.kind == "missing"


def test_a_file_whose_name_looks_like_a_glob(tree: Path) -> None:
    odd = tree / "b" / "[1].png"
    (tree / "b" / "2.png").rename(odd)
    assert list(discover([str(odd)])) == [Source(str(odd))]


def test_a_list_on_stdin(tree: Path) -> None:
    lines = io.BytesIO(f"{tree}/b/2.png\n\n{tree}/nowhere\r\n{tree}/a\n".encode())
    found = list(discover(["-"], lines))
    assert names(found, tree) == ["b/2.png", "nowhere", "a/deep/IM0001", "a/fake.dcm", "a/no_ending"]
    assert found[1].error is not None


def test_discovery_is_lazy(tree: Path) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = f"{tree}/b/2.png\n".encode()
            buffer[: len(line)] = line
            return len(line)

    found = discover(["-"], cast(BinaryIO, io.BufferedReader(Endless())))
    assert [next(found) for _ in range(3)] == [Source(f"{tree}/b/2.png")] * 3


def test_links(tree: Path) -> None:
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "b" / "folder").symlink_to(tree / "a" / "deep")
    (tree / "b" / "gone").symlink_to(tree / "nowhere")
    found = list(discover([str(tree)]))
    assert names(found, tree) == [
        "a/deep/IM0001",
        "a/fake.dcm",
        "a/no_ending",
        "b/10.jpg",
        "b/2.png",
        "b/folder/IM0001",
        "b/gone",
        "empty.png",
    ]
    assert [source.error.kind for source in found if source.error] == ["missing"]


def test_a_link_to_itself_is_one_error_and_the_rest_is_yielded(tree: Path) -> None:
    (tree / "a" / "itself").symlink_to("itself")
    found = list(discover([str(tree)]))
    assert [Path(name).name for name in names(found, tree)][:4] == [
        "IM0001",
        "fake.dcm",
        "itself",
        "no_ending",
    ]
    (error,) = [source.error for source in found if source.error]
    assert error.kind == "unreadable"
    assert "leads back to itself" in error.what


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


CUT = b"\x00" * 100
WEB_PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.dcm", b"", "empty"),
        ("a.dcm", WEB_PAGE, "web page"),
        ("a.DCM", b"\n<html>" + WEB_PAGE, "web page"),
        ("a.dcm", CUT, "cut off"),
        ("a.dicom", b"only text", "no DICOM"),
        ("a.dcm.gz", b"\x1f\x8b\x08\x00" + CUT, "unpack"),
        ("a.dcm", b"PK\x03\x04" + CUT, "unpack"),
        ("a.dcm", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.png", b"GIF89a" + CUT, "GIF"),
        ("a.gif", b"GIF89a" + CUT, "GIF"),
        ("a.jpg", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
        ("a.tif", b"%PDF-1.7", "PDF"),
        ("a.jp2", b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000"),
        ("a.png", CUT, "no image"),
        ("IM0001", CUT, "not a supported image"),
        ("1.2.840.113619.2.1", b"", "empty"),
    ],
)
def test_what_calls_itself_an_image_never_vanishes(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    """A file that a person would miss in the results has a row with its reason."""
    (tmp_path / name).write_bytes(content)
    passed_over = PassedOver()
    (source,) = discover([str(tmp_path)], None, passed_over)
    assert not passed_over.counts
    with pytest.raises(InputError, match=reason) as caught:
        read_radiograph(source.path)
    assert caught.value.kind == "not_an_image"
    assert caught.value.remedy


def test_what_does_not_is_counted_by_reason(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    server = socket.socket(socket.AF_UNIX)
    folder = os.getcwd()
    os.chdir(tree)  # the path of a socket may have only 107 characters
    server.bind("socket")
    os.chdir(folder)
    (tree / "._a.dcm").write_bytes(b"\x00\x05\x16\x07" + CUT)
    seen: list[str] = []
    passed_over = PassedOver(lambda path, reason: seen.append(Path(path).name))
    list(discover([str(tree)], None, passed_over))
    server.close()
    assert passed_over.counts == {"not an image": 1, "pipe": 1, "socket": 1, "metadata of macOS": 1}
    assert sorted(seen) == ["._a.dcm", "labels.csv", "pipe", "socket"]


def test_special_files_under_a_name_of_an_image_have_rows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dcm")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    (tmp_path / "c.png").symlink_to("nowhere")
    reasons = [source.error.what if source.error else "" for source in discover([str(tmp_path)])]
    assert reasons == [
        "it is a pipe, not a file",
        "it is a device, not a file",
        "the symbolic link leads to nothing",
    ]


def test_a_file_that_vanishes_while_the_folder_is_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = discover([str(tree / "b")])
    next(found)
    (tree / "b" / "2.png").unlink()
    (source,) = found
    assert source.error is not None
    assert source.error.kind == "missing"
    assert "vanished" in source.error.what


def _utf16(text: str, mark: bool, order: str) -> bytes:
    return (("\ufeff" if mark else "") + text).encode(f"utf-16-{order}")


def _nul(text: str) -> bytes:
    return text.replace("\n", "\0").encode()


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "  \t\n").encode(),
        lambda text: ("# my images\n\n" + text + "  # the end\n").encode(),
        lambda text: "".join(f'"{line}"\n' for line in text.splitlines()).encode(),
        lambda text: "".join(f"'{line}'\n" for line in text.splitlines()).encode(),
        lambda text: _utf16(text, True, "le"),
        lambda text: _utf16(text, True, "be"),
        lambda text: _utf16(text, False, "le"),
        lambda text: _utf16(text, False, "be"),
        _nul,
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_lists_are_read_however_they_were_written(tree: Path, encode: Any, as_file: bool) -> None:
    content = encode(f"{tree}/b/2.png\n{tree}/b/10.jpg\n")
    (tree / "list.txt").write_bytes(content)
    given = [str(tree / "list.txt")] if as_file else ["-"]
    assert names(list(discover(given, io.BytesIO(content))), tree) == ["b/2.png", "b/10.jpg"]


def test_a_list_names_files_beside_it_too(tree: Path) -> None:
    (tree / "list.txt").write_text("b/2.png\n")
    assert names(list(discover([str(tree / "list.txt")])), tree) == ["b/2.png"]


def test_names_that_only_look_like_comments_and_quotes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = ["#1.png", "'a'.png", "b .png", " c.png"]
    for name in odd:
        Path(name).touch()
    assert [source.path for source in discover(["-"], io.BytesIO("\n".join(odd).encode()))] == odd


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + CUT, "an image was given"),
        (bytes(range(256)) * 4, "not a text"),
        (b"\xff\xfea\x00\x00\xd8b\x00", "UTF-16"),
    ],
)
def test_a_list_that_cannot_be_read_has_one_reason(content: bytes, reason: str) -> None:
    (source,) = discover(["-"], io.BytesIO(content))
    assert source.error is not None
    assert reason in source.error.what
    assert "one path per line" in (source.error.remedy or "")


def test_a_text_that_is_no_list_has_one_reason_and_a_list_with_gaps_has_one_per_gap(tree: Path) -> None:
    """`tier classify folder/*` also names the notes beside the images."""
    (tree / "notes.txt").write_text("These images\nwere taken\nlong ago.\n" * 20)
    (source,) = discover([str(tree / "notes.txt")])
    assert source.path == str(tree / "notes.txt")
    assert source.error is not None
    assert "none of its first 20 lines names a file" in source.error.what
    (tree / "list.txt").write_text("gone.png\nb/2.png\nlost.png\n")
    found = list(discover([str(tree / "list.txt")]))
    assert [source.error is None for source in found] == [False, True, False]


def test_an_empty_list_file_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n# nothing\n")
    (source,) = discover([str(tmp_path / "list.txt")])
    assert source.error is not None
    assert "names no files" in source.error.what


def test_a_slow_list_is_told_from_an_ended_one(tree: Path) -> None:
    """What has arrived is scored before more is waited for."""
    read, write = os.pipe()
    with open(read, "rb") as stream:
        found = discover(["-"], stream)
        os.write(write, f"{tree}/b/2.png\n{tree}/b".encode())
        assert next(found) == Source(f"{tree}/b/2.png")
        begin = time.monotonic()
        assert next(found) is PAUSE
        assert time.monotonic() - begin < 5
        os.write(write, b"/10.jpg")
        os.close(write)
        assert [source for source in found if source is not PAUSE] == [Source(f"{tree}/b/10.jpg")]
