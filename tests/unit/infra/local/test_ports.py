"""A local run keeps its ports."""

import socket
from dataclasses import asdict
from pathlib import Path

import pytest

from infra.local.ministack import LocalError
from infra.local.ports import FILE, Ports


def choose(folder: Path, *, aws: int | None = None) -> tuple[Ports, list[str]]:
    lines: list[str] = []
    return Ports.choose(folder, aws=aws, on_progress=lines.append), lines


def test_ports_are_kept(tmp_path: Path) -> None:
    first, _ = choose(tmp_path)
    assert choose(tmp_path) == (first, [])
    assert len(set(asdict(first).values())) == 4


def test_port_of_the_api_that_is_in_use_is_refused(tmp_path: Path) -> None:
    first, _ = choose(tmp_path)
    with socket.create_server(("127.0.0.1", first.aws)), pytest.raises(LocalError, match=f"port {first.aws} is in use"):
        choose(tmp_path)


def test_other_port_that_is_in_use_is_replaced_and_reported(tmp_path: Path) -> None:
    first, _ = choose(tmp_path)
    with socket.create_server(("127.0.0.1", first.page)):
        second, lines = choose(tmp_path)
    assert second.aws == first.aws
    assert second.page != first.page
    assert lines == [f"port {first.page} of the page is in use; it gets another one"]


def test_given_port_is_kept_too(tmp_path: Path) -> None:
    free = choose(tmp_path / "..")[0].aws
    assert choose(tmp_path, aws=free)[0].aws == free
    assert choose(tmp_path)[0].aws == free


@pytest.mark.parametrize("content", ["", "[]", '{"aws": "80"}', '{"other": 1}'])
def test_damaged_file_counts_as_missing(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert choose(tmp_path)[0].aws >= 20_000
