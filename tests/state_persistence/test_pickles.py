from __future__ import annotations

import pickle
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.exceptions import PickleRefused
from pamiq_async.state_persistence.pickles import imported_by, refuse_pickles
from tests.corpus import Bomb


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles") / "x.pickle"


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_imports_is_found(protocol: int, file: Path) -> None:
    file.write_bytes(pickle.dumps([Decimal("0.5"), Fraction(1, 2), Decimal(1), Counter("ab")], protocol))
    found = imported_by(file)
    assert {"decimal.Decimal", "fractions.Fraction", "collections.Counter"} <= set(found)
    assert len(found) == len(set(found))


def test_plain_values_import_nothing(file: Path) -> None:
    file.write_bytes(pickle.dumps([{1, 2}, "decimal", "Decimal", b"x"]))
    assert imported_by(file) == []


def test_nothing_is_run_to_find_it(file: Path, tmp_path: Path) -> None:
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    assert imported_by(file) == ["builtins.eval"]
    assert not (tmp_path / "canary").exists()


def test_the_beginning_says_enough(file: Path) -> None:
    file.write_bytes(pickle.dumps([Decimal(number) for number in range(100_000)]))
    assert imported_by(file) == ["decimal.Decimal"]


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_whatever_is_in_a_file_can_be_asked_for_its_imports(file: Path, content: bytes, place: int, byte: int) -> None:
    damaged = bytearray(pickle.dumps([Decimal("0.5"), Fraction(1, 2), Counter("ab")]))
    damaged[place % len(damaged)] = byte
    for attempt in (content, bytes(damaged)):
        file.write_bytes(attempt)
        assert all(isinstance(name, str) for name in imported_by(file))


@pytest.mark.parametrize("name", ["x.pickle", "x.PICKLE", "x.Pic\N{KELVIN SIGN}le", "data/plays/buffer.pickle"])
def test_pickles_are_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(pickle.dumps(Decimal(1)))
    with pytest.raises(PickleRefused, match=r"runs whatever code .*allow_pickle=True") as caught:
        refuse_pickles(tmp_path, ["other.json", name])
    assert f"{name} (imports decimal.Decimal)" in str(caught.value)


@pytest.mark.parametrize("name", ["x.msgpack", "pickle", "x.pickle.json", "x.pickle/y"])
def test_other_files_are_no_pickles(name: str, tmp_path: Path) -> None:
    refuse_pickles(tmp_path, [name])


def test_many_pickles_do_not_fill_the_message(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.pickle").write_bytes(pickle.dumps({1}))
    with pytest.raises(PickleRefused, match="and 15 more") as caught:
        refuse_pickles(tmp_path, [f"{number}.pickle" for number in range(20)])
    assert len(str(caught.value)) < 1000


def test_names_that_are_commands_to_a_terminal_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "x.pickle").write_bytes(b"cos\n\x1b[31msystem\n(tR.")
    with pytest.raises(PickleRefused) as caught:
        refuse_pickles(tmp_path, ["x.pickle"])
    assert "\x1b" not in str(caught.value)
