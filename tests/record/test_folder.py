"""Files and folders are whole or absent, also after kill -9; a changed bit is seen; one holder per lock."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpsearch.record.folder import (
    FORMAT,
    read_folder,
    remove_leftovers,
    write_file,
    write_folder,
)
from tests.record.folders import names, read_only_folder

FILES = {"weights.safetensors": bytes(range(40)), "columns.json": b'["a", "b"]', "empty": b""}

# Children write one content after the other, acknowledge each in a pipe, and are killed at random moments: what lies
# there is then the last acknowledged content or the next.
KILLED_WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from hpsearch.record.folder import read_folder, remove_leftovers, write_file, write_folder

place, kind = Path(sys.argv[1]), sys.argv[2]

def write(round):
    content = bytes([round]) * 200_000
    if kind == "file":
        write_file(place, content)
    else:
        write_folder(place, {"a": content, "b": content, "c": content})

def read():
    return [place.read_bytes()] if kind == "file" else list(read_folder(place).values())

random.seed(1)
round = 0
for _ in range(40):
    reading, writing = os.pipe()
    if not (child := os.fork()):
        while True:
            round = (round + 1) % 256
            write(round)
            os.write(writing, bytes([round]))
    os.close(writing)
    acknowledged = os.read(reading, 1)
    time.sleep(random.uniform(0.0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    acknowledged += os.read(reading, 10_000)
    os.close(reading)
    contents = read()
    assert all(len(content) == 200_000 and len(set(content)) == 1 for content in contents)
    assert len(set(contents)) == 1
    assert contents[0][0] in (acknowledged[-1], (acknowledged[-1] + 1) % 256)
    round = contents[0][0]
# the last one killed may have moved the earlier folder aside: the next writer clears up
write(round)
remove_leftovers(place.parent)
print(*sorted(entry.name for entry in place.parent.iterdir()))
"""


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestWriteFile:
    @pytest.mark.parametrize("durable", [True, False])
    def test_writes_and_replaces(self, tmp_path: Path, durable: bool) -> None:
        for content in (b"first", b"", b"third"):
            write_file(tmp_path / "page.html", content, durable=durable)
            assert (tmp_path / "page.html").read_bytes() == content
        assert names(tmp_path) == ["page.html"]

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write_file("page.html", b"x")
        assert (tmp_path / "page.html").read_bytes() == b"x"

    def test_threads_that_write_one_file_leave_one_of_their_contents(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
        writers = [
            threading.Thread(target=lambda content=content: [write_file(path, content) for _ in range(20)])
            for content in contents
        ]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            assert not path.exists() or path.read_bytes() in contents
        assert names(tmp_path) == ["file"]

    def test_survives_kill(self, tmp_path: Path) -> None:
        assert run(KILLED_WRITERS, tmp_path / "file", "file").split() == ["file"]

    def test_a_folder_that_is_not_writable_is_named(self) -> None:
        with read_only_folder() as folder:
            with pytest.raises(
                PermissionError, match=rf"^cannot write a.txt in the folder {folder}: Permission denied"
            ):
                write_file(folder / "a.txt", b"x")

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"cannot write a.txt in the folder {tmp_path / 'none'}"):
            write_file(tmp_path / "none" / "a.txt", b"x")

    def test_a_folder_at_the_path_stays(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        with pytest.raises(IsADirectoryError, match="cannot write a in the folder"):
            write_file(tmp_path / "a", b"x")
        assert names(tmp_path) == ["a"]


class TestFolder:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        write_folder(tmp_path / "model", FILES)
        return tmp_path / "model"

    def test_reads_what_was_written(self, model: Path) -> None:
        assert read_folder(model) == FILES
        assert list(read_folder(model)) == sorted(FILES)
        assert names(model.parent) == ["model"]

    def test_same_files_same_bytes(self, model: Path, tmp_path: Path) -> None:
        write_folder(tmp_path / "again", dict(reversed(FILES.items())))
        for name in names(model):
            assert (model / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    def test_replaces_the_earlier_folder(self, model: Path) -> None:
        write_folder(model, {"only": b"this"})
        assert read_folder(model) == {"only": b"this"}
        assert names(model) == ["manifest.json", "only"]
        assert names(model.parent) == ["model"]

    def test_takes_the_place_of_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        write_folder(tmp_path / "model", FILES)
        assert read_folder(tmp_path / "model") == FILES

    def test_a_link_to_a_folder_stays_a_link(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "latest").symlink_to(model)
        write_folder(tmp_path / "latest", {"new": b"1"})
        assert (tmp_path / "latest").is_symlink()
        assert read_folder(model) == {"new": b"1"}

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "manifest.json", "a\0"])
    def test_refuses_names_that_are_not_plain(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="plain names"):
            write_folder(tmp_path / "model", {name: b""})
        assert names(tmp_path) == []

    def test_refuses_to_replace_what_is_not_ours(self, tmp_path: Path) -> None:
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.tex").write_text("x")
        for path in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
            with pytest.raises(ValueError, match=f"{path} is not a model folder of hpsearch; nothing was written"):
                write_folder(path, FILES)
        (tmp_path / "thesis" / "manifest.json").write_text('{"format": "other"}')
        with pytest.raises(ValueError, match="is not a model folder"):
            write_folder(tmp_path / "thesis", FILES)
        assert names(tmp_path) == ["thesis"]
        assert names(tmp_path / "thesis") == ["chapter.tex", "manifest.json"]

    def test_refuses_to_delete_a_file_that_was_added(self, model: Path) -> None:
        (model / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="also holds notes.txt, which hpsearch did not write"):
            write_folder(model, {})
        assert read_folder(model) == FILES

    def test_a_parent_that_is_not_writable_is_named(self) -> None:
        with read_only_folder() as folder:
            with pytest.raises(PermissionError, match=f"cannot write model in the folder {folder}"):
                write_folder(folder / "model", FILES)

    def test_every_changed_bit_is_seen(self, model: Path) -> None:
        for name in names(model):
            original = (model / name).read_bytes()
            for bit in range(8 * len(original)):
                changed = bytearray(original)
                changed[bit // 8] ^= 1 << bit % 8
                (model / name).write_bytes(changed)
                with pytest.raises(ValueError, match=str(model)):
                    read_folder(model)
            (model / name).write_bytes(original)
        assert read_folder(model) == FILES

    def test_every_truncation_is_seen(self, model: Path) -> None:
        for name in names(model):
            original = (model / name).read_bytes()
            for size in range(len(original)):
                (model / name).write_bytes(original[:size])
                with pytest.raises(ValueError, match=name if name != "manifest.json" else str(model)):
                    read_folder(model)
            (model / name).write_bytes(original)

    def test_a_changed_file_is_named_with_the_rule(self, model: Path) -> None:
        (model / "empty").write_bytes(b"x")
        with pytest.raises(
            ValueError, match=r"model/empty was changed: its size or SHA-256 is not the one in manifest"
        ):
            read_folder(model)

    def test_missing_things_are_named(self, model: Path) -> None:
        (model / "empty").unlink()
        with pytest.raises(ValueError, match="model/empty is missing, though manifest.json lists it"):
            read_folder(model)
        (model / "empty").mkdir()
        with pytest.raises(ValueError, match="model/empty is missing"):
            read_folder(model)
        (model / "manifest.json").unlink()
        with pytest.raises(ValueError, match="model has no manifest.json"):
            read_folder(model)
        with pytest.raises(FileNotFoundError, match="there is no folder .*model2"):
            read_folder(model.with_name("model2"))
        with pytest.raises(ValueError, match="columns.json is not a folder"):
            read_folder(model / "columns.json")

    def test_files_that_are_not_listed_are_not_read(self, model: Path) -> None:
        (model / "notes.txt").write_text("mine")
        assert read_folder(model) == FILES

    @pytest.mark.parametrize(
        ("manifest", "message"),
        [
            ({"format": "hpsearch folder 2", "files": {}}, "has the format 'hpsearch folder 2'"),
            ({"format": FORMAT, "files": {"../secret": {}}}, "lists '../secret', which is not a plain file name"),
            ({"format": FORMAT, "files": 1}, "is damaged, or not of hpsearch"),
            ({"format": FORMAT}, "is damaged, or not of hpsearch"),
            ([], "is damaged, or not of hpsearch"),
        ],
    )
    def test_other_manifests_are_refused(self, model: Path, manifest: object, message: str) -> None:
        (model / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=message):
            read_folder(model)

    def test_a_crash_between_the_renames_leaves_the_earlier_folder(self, model: Path) -> None:
        aside = model.with_name(".model.old")
        model.rename(aside)
        assert read_folder(model) == FILES
        write_folder(model, {"new": b"1"})
        assert read_folder(model) == {"new": b"1"}
        assert names(model.parent) == ["model"]

    def test_a_crash_before_the_deletion_leaves_the_new_folder(self, model: Path) -> None:
        write_folder(model.with_name(".model.old"), {"old": b"0"})
        assert read_folder(model) == FILES
        write_folder(model, {"new": b"1"})
        assert names(model.parent) == ["model"]

    def test_survives_kill(self, tmp_path: Path) -> None:
        assert run(KILLED_WRITERS, tmp_path / "model", "folder").split()[-1:] == ["model"]

    def test_a_reader_meets_whole_folders_only(self, model: Path) -> None:
        script = """
import sys
from hpsearch.record.folder import write_folder
for round in range(150):
    write_folder(sys.argv[1], {name: bytes([round]) * 50_000 for name in "abc"})
"""
        write_folder(model, {})
        writer = subprocess.Popen([sys.executable, "-c", script, str(model)])
        reads = set()
        while writer.poll() is None:
            contents = list(read_folder(model).values())
            assert len(set(contents)) <= 1
            reads.update(contents)
        assert writer.returncode == 0
        assert len(reads) > 1


def test_remove_leftovers_deletes_nothing_else(tmp_path: Path) -> None:
    dead = "99999999-34.tmp"  # no system numbers its processes so high
    living = f".study.db.{os.getpid()}-34.tmp"
    for name in (f".study.db.{dead}", f".study.db.{dead}-wal", living, ".hidden", "a.tmp", ".model.old", dead):
        (tmp_path / name).write_text("x")
    (tmp_path / f".model.{dead}").mkdir()
    (tmp_path / f".model.{dead}" / "weights").write_text("x")
    remove_leftovers(tmp_path, "study.db")
    assert (tmp_path / f".model.{dead}").exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([living, ".hidden", ".model.old", dead, "a.tmp"])
