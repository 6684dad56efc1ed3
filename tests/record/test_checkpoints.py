"""A checkpoint comes back to the last bit, or, damaged in any way, not at all."""

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from hpsearch.record.checkpoints import (
    Checkpoints,
    FolderCheckpoints,
    MemoryCheckpoints,
    from_safetensors,
    to_safetensors,
)

META = {"epoch": 27, "rates": [0.1, float("inf")], "name": "é", "nested": {"none": None, "yes": True}}


def tensors() -> dict[str, NDArray[Any]]:
    return {
        "weights": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "history": np.array([[0.1, np.nan], [np.inf, -0.0]]),
        "steps": np.array(7),
        "alive": np.array([True, False, True]),
        "none": np.zeros((0, 3), np.float16),
    }


def assert_same_bits(got: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert list(got) == sorted(expected)
    for name, tensor in expected.items():
        assert got[name].shape == tensor.shape
        assert got[name].dtype == tensor.dtype
        assert got[name].tobytes() == tensor.tobytes()


@pytest.fixture(params=["memory", "folder", "durable"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    if request.param == "memory":
        return MemoryCheckpoints()
    return FolderCheckpoints(tmp_path / "fits", durable=request.param == "durable")


class TestCheckpoints:
    def test_nothing_there(self, checkpoints: Checkpoints) -> None:
        assert checkpoints.load(0, 1) is None

    def test_comes_back(self, checkpoints: Checkpoints) -> None:
        checkpoints.save(12, 27, tensors(), META)
        loaded = checkpoints.load(12, 27)
        assert loaded is not None
        assert_same_bits(loaded[0], tensors())
        assert loaded[1] == META
        assert checkpoints.load(12, 28) is None
        assert checkpoints.load(27, 12) is None

    def test_the_last_one_counts(self, checkpoints: Checkpoints) -> None:
        checkpoints.save(0, 1, tensors(), {})
        checkpoints.save(0, 1, {}, {"empty": ()})
        assert checkpoints.load(0, 1) == ({}, {"empty": []})

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(12.0).reshape(3, 4).T,
            np.arange(12, dtype=np.int16)[::-2],
            np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            np.broadcast_to(np.float32(3), (2, 2)),
            np.arange(4, dtype=np.complex64),
        ],
        ids=["transposed", "strided", "fortran", "broadcast", "complex"],
    )
    def test_any_layout(self, checkpoints: Checkpoints, array: NDArray[Any]) -> None:
        checkpoints.save(0, 1, {"a": array}, {})
        loaded = checkpoints.load(0, 1)
        assert loaded is not None
        assert_same_bits(loaded[0], {"a": array})

    def test_what_is_loaded_is_read_only(self, checkpoints: Checkpoints) -> None:
        mine = tensors()
        checkpoints.save(0, 1, mine, {})
        loaded = checkpoints.load(0, 1)
        assert loaded is not None
        with pytest.raises(ValueError, match="read-only"):
            loaded[0]["weights"][0, 0] = 5.0
        mine["weights"][0, 0] = 5.0

    def test_what_is_loaded_is_the_callers(self, checkpoints: Checkpoints) -> None:
        checkpoints.save(0, 1, tensors(), META)
        first = checkpoints.load(0, 1)
        assert first is not None
        first[0].clear()
        first[1].clear()
        second = checkpoints.load(0, 1)
        assert second is not None
        assert second[0] and second[1]


def test_memory_copies_no_array() -> None:
    checkpoints, mine = MemoryCheckpoints(), tensors()
    checkpoints.save(0, 1, mine, {})
    loaded = checkpoints.load(0, 1)
    assert loaded is not None
    assert np.shares_memory(loaded[0]["weights"], mine["weights"])


class TestFolderCheckpoints:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A small checkpoint: trial 3 at epoch 9."""
        small = {"w": np.array([1.5, -2.0], np.float32), "n": np.array([3], np.int64)}
        FolderCheckpoints(tmp_path).save(3, 9, small, {"a": [1, 2.5]})
        return tmp_path / "trial_00003_epoch_00009.safetensors"

    def is_damaged(self, file: Path, content: bytes) -> bool:
        """Whether `load` gives nothing and says so; it must never give anything else than what was saved."""
        file.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = FolderCheckpoints(file.parent).load(3, 9)
        if loaded is not None:
            assert_same_bits(loaded[0], {"w": np.array([1.5, -2.0], np.float32), "n": np.array([3], np.int64)})
            assert loaded[1] == {"a": [1, 2.5]}
            return False
        assert [str(warning.message).startswith(f"{file.parent}: {file.name} is damaged") for warning in caught] == [
            True
        ]
        return True

    def test_file_names(self, tmp_path: Path) -> None:
        checkpoints = FolderCheckpoints(tmp_path / "fits")
        checkpoints.save(12, 27, {}, {})
        checkpoints.save(123456, 1, {}, {})
        assert sorted(file.name for file in (tmp_path / "fits").iterdir()) == [
            "trial_00012_epoch_00027.safetensors",
            "trial_123456_epoch_00001.safetensors",
        ]

    def test_same_checkpoint_same_bytes(self, file: Path, tmp_path: Path) -> None:
        contents = set()
        for _ in range(20):
            FolderCheckpoints(tmp_path).save(3, 9, tensors(), META)
            contents.add(file.read_bytes())
            FolderCheckpoints(tmp_path).save(3, 9, dict(reversed(tensors().items())), META)
            contents.add(file.read_bytes())
        assert len(contents) == 1

    def test_every_single_bit_flip(self, file: Path) -> None:
        original = file.read_bytes()
        harmless = 0
        for bit in range(8 * len(original)):
            changed = bytearray(original)
            changed[bit // 8] ^= 1 << bit % 8
            harmless += not self.is_damaged(file, bytes(changed))
        # What JSON has two spellings for, such as blanks at the end of the header.
        assert harmless <= 8 * 8

    def test_every_truncation(self, file: Path) -> None:
        original = file.read_bytes()
        assert all(self.is_damaged(file, original[:size]) for size in range(len(original)))
        assert self.is_damaged(file, original + b"\0")

    def test_random_damage(self, file: Path) -> None:
        original, generator = file.read_bytes(), random.Random(0)
        for _ in range(2000):
            start = generator.randrange(len(original))
            changed = bytearray(original)
            changed[start : start + generator.randrange(20)] = generator.randbytes(generator.randrange(20))
            if changed != original:
                self.is_damaged(file, bytes(changed))

    def test_one_file_does_not_pass_for_another(self, file: Path) -> None:
        file.rename(file.with_name("trial_00004_epoch_00009.safetensors"))
        with pytest.warns(RuntimeWarning, match="trial_00004_epoch_00009.safetensors is damaged"):
            assert FolderCheckpoints(file.parent).load(4, 9) is None

    def test_other_byte_order_comes_back_native(self, tmp_path: Path) -> None:
        FolderCheckpoints(tmp_path).save(0, 1, {"a": np.arange(3, dtype=">f8")}, {})
        loaded = FolderCheckpoints(tmp_path).load(0, 1)
        assert loaded is not None
        assert_same_bits(loaded[0], {"a": np.arange(3.0)})

    @pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, complex)])
    def test_types_without_a_place_are_refused(self, tmp_path: Path, array: NDArray[Any]) -> None:
        with pytest.raises(ValueError, match="cannot hold these tensors: Unknown dtype"):
            FolderCheckpoints(tmp_path).save(0, 1, {"a": array}, {})
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_parent_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"cannot write fits in the folder {tmp_path / 'none'}"):
            FolderCheckpoints(tmp_path / "none" / "fits").save(0, 1, {}, {})


class TestSafetensors:
    def test_there_and_back(self) -> None:
        got, meta = from_safetensors("a.safetensors", to_safetensors("a.safetensors", tensors(), META))
        assert_same_bits(got, tensors())
        assert meta == META
        assert from_safetensors("a", to_safetensors("a", {}, {})) == ({}, {})

    def test_others_can_read_it(self) -> None:
        others = safetensors.numpy.load(to_safetensors("a", tensors(), META))
        assert_same_bits({name: others[name] for name in sorted(others)}, tensors())

    @pytest.mark.parametrize("data", [b"", b"x" * 100, safetensors.numpy.save(tensors()), to_safetensors("b", {}, {})])
    def test_anything_else_is_refused_by_name(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="^a.safetensors is damaged"):
            from_safetensors("a.safetensors", data)


def test_what_is_kept(tmp_path: Path) -> None:
    for name in ("trial_00001_epoch_00003", "trial_00001_epoch_00009", "trial_00012_epoch_00003", ".trial_00002"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "lock").touch()
    assert FolderCheckpoints(tmp_path).kept() == {1: {3, 9}, 12: {3}}
    assert FolderCheckpoints(tmp_path / "none").kept() == {}
