"""Image files decoded by the limited child: what it may take, and that nobody believes it."""

import io
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest
from conftest import CLASSES, SHAPE, posix, random_images, tiny_network
from portable import SYSTEM

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import photos

HEIGHT, WIDTH, _ = SHAPE


def picture(path: Path, seed: int = 0) -> Path:
    PIL.Image.fromarray(random_images(1, seed)[0]).save(path)
    return path


def child_that(monkeypatch, does: str) -> None:
    """Have the child do this instead of decoding, but for images whose width is not the network's.

    Those are decoded, so that it shows whether there is a child again.
    """
    code = (
        "from goodnet.vetting import developing; once = developing.develop; "
        "developing.develop = lambda file, shape, notes: "
        f"once(file, shape, notes) if shape[0] == 5 else {does}; developing.main()"
    )
    monkeypatch.setattr(photos, "_CHILD", code)


LOST = "decoding it crashes, goes wrong or takes more than 1 seconds"


@pytest.mark.parametrize(
    "does, says",
    [
        ("[None for _ in iter(int, 1)]", LOST),
        ("__import__('time').sleep(60)", LOST),
        ("__import__('os').abort()", LOST),
        ("bytearray(1 << 40)", "takes too much memory"),
        pytest.param("print('x', file=open({path!r}, 'w'), flush=True)", LOST, marks=posix),
        ("print('not JSON', flush=True)", LOST),
        ("print('[' * 4000, flush=True)", LOST),
        ("print('7', flush=True)", LOST),
        ("(_ for _ in ()).throw(developing.Unsafe('a\\x1b[2Jb'))", re.escape(r"a.png: a\x1b[2Jb")),
    ],
)
def test_the_child_is_limited_and_replaced(tmp_path, monkeypatch, does, says):
    monkeypatch.setattr(photos, "SECONDS", 1)
    monkeypatch.setattr(photos, "PATIENCE", 2)
    child_that(monkeypatch, does.format(path=str(tmp_path / "written")))
    path = picture(tmp_path / "a.png")
    start = time.perf_counter()
    with photos.photo_reader() as reader:
        with pytest.raises(Unusable, match=says) as caught:
            photos.read_photo(reader, path, SHAPE)
        assert str(caught.value).startswith(f"{path}: ") and time.perf_counter() - start < 8
        assert photos.read_photo(reader, path, (5, 5, 3)).pixels.shape == (5, 5, 3)
    written = tmp_path / "written"
    assert not written.exists() or not written.read_bytes()


SAID = {"status": 0, "size": [HEIGHT, WIDTH], "notes": ["a"]}
LIES = (
    *({}, [], 7, None, {"status": 0}, SAID | {"status": 1}, SAID | {"status": "0"}),
    *(SAID | {"size": size} for size in ([WIDTH, HEIGHT], [14], [14, 12, 3], [True, 12], "ab")),
    *(SAID | {"size": size} for size in ([14.0, 12], [HEIGHT, -WIDTH], [0, 0], None)),
    *(SAID | {"notes": notes} for notes in (None, "a", 7)),
    {"status": 2, "reason": 5},
)


@pytest.mark.parametrize("lie", LIES, ids=str)
def test_what_the_child_says_is_not_believed(lie):
    assert photos._understand(SAID, SHAPE).size == (HEIGHT, WIDTH)
    with pytest.raises(Unusable, match="makes no sense"):
        photos._understand(lie, SHAPE)


@pytest.mark.parametrize("size", [[0, 9], [-3, -3], [1 << 20, 1 << 20], [50_000_001, 1]])
def test_of_a_size_that_is_open_no_absurd_one_is_believed(size):
    shape = (None, None, 3)
    assert photos._understand(SAID | {"size": [9, 9]}, shape).size == (9, 9)
    with pytest.raises(Unusable, match="makes no sense"):
        photos._understand(SAID | {"size": size}, shape)


def test_words_of_the_child_steer_no_terminal():
    told = photos._understand(SAID | {"notes": ["a\x1b[2J\n"] * 99}, SHAPE)
    assert told.notes == [r"a\x1b[2J\n"] * photos.MOST_NOTES
    refused = photos._understand({"status": 3, "reason": "\u202e" + "x" * 9999}, SHAPE)
    assert isinstance(refused, Unsafe) and len(str(refused)) < 600 and "\\u202e" in str(refused)


def jpeg_of_many_scans(scans: int, side: int) -> bytes:
    """The last scan of a progressive JPEG again and again: each is a pass over the whole image."""
    file = io.BytesIO()
    PIL.Image.new("L", (side, side), 130).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def test_an_image_of_endless_work_ends_and_the_others_are_answered(tmp_path, monkeypatch, run_here):
    monkeypatch.setattr(photos, "SECONDS", 1)
    (tmp_path / "b.jpg").write_bytes(jpeg_of_many_scans(12_000, 1500))
    for name in ("a.png", "c.png"):
        picture(tmp_path / name)
    tiny_network().save(tmp_path / "b.keras")
    start = time.perf_counter()
    done = run_here("predict.py", tmp_path, "--model", tmp_path / "b.keras")
    assert time.perf_counter() - start < 15
    names = [Path(line.rpartition(" ")[0]).name for line in done.stdout.splitlines()]
    assert done.returncode == 2 and names == ["a.png", "c.png"]
    assert done.stderr.splitlines()[1:] == [
        f"predict.py: {tmp_path}/b.jpg: cannot be read as an image ({LOST})",
        "predict.py: 1 of 3 images cannot be used",
    ]


watched: list[Callable[[str, tuple], None]] = []  # an audit hook cannot be taken away again
sys.addaudithook(lambda event, arguments: [watch(event, arguments) for watch in watched])


def test_predict_opens_an_image_once_and_never_decodes_it(tmp_path, monkeypatch, run_here):
    """Plainly, by its name; Pillow gets nothing to open in the process that computes."""
    (tmp_path / "in").mkdir()
    pictures = [picture(tmp_path / f"in/{n}.png", n) for n in range(3)]
    PIL.Image.open(pictures[0]).save(tmp_path / "in/3.jpg")
    (tmp_path / "in/4.png").write_text("no image")
    opened, decoded = [], []

    def watch(event: str, arguments: tuple) -> None:
        if event == "open" and Path(os.fsdecode(str(arguments[0]))).parent.name == "in":
            frame = sys._getframe()
            while frame.f_code.co_filename == __file__:
                frame = frame.f_back
            caller = Path(frame.f_code.co_filename).name
            opened.append((Path(str(arguments[0])).name, caller))

    once = PIL.Image.open
    monkeypatch.setattr(
        PIL.Image, "open", lambda *args, **more: decoded.append(args) or once(*args, **more)
    )
    watched.append(watch)
    try:
        PIL.Image.open(pictures[0]).load()
        assert decoded and opened[0] == ("0.png", "Image.py")  # it would be seen
        opened.clear(), decoded.clear()
        tiny_network(classes=CLASSES).save(tmp_path / "b.keras")
        done = run_here("predict.py", tmp_path / "in", "--model", tmp_path / "b.keras")
    finally:
        watched.clear()
    assert done.stdout.count("\n") == 4 and done.returncode == 2
    # Where Windows is played, its way of opening a file stands in between.
    opener = "portable.py" if SYSTEM == "windows" else "opening.py"
    assert opened == [(f"{n}.{'jpg' if n == 3 else 'png'}", opener) for n in range(5)]
    assert not decoded


@posix
def test_a_file_that_is_hollow_or_replaced_by_a_pipe_is_refused(tmp_path):
    with open(tmp_path / "hollow.png", "wb") as file:
        file.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.png")
    with photos.photo_reader() as reader:
        for name, says in (
            ("hollow", "it claims"),
            ("pipe", "it is a pipe or a device"),
            ("gone", re.escape(f"[Errno 2] No such file or directory: '{tmp_path}/gone.png'")),
        ):
            with pytest.raises(Unusable, match=rf"{name}.png: cannot be read as an image \({says}"):
                photos.read_photo(reader, tmp_path / f"{name}.png", SHAPE)
