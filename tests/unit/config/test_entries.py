"""Entries of alerts.toml: where each stands, and every shape that cannot be placed."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomade_pipeline.config.entries import Entry, read_entries
from nomade_pipeline.config.load import ConfigError


def entries(folder: Path, text: str) -> list[Entry]:
    path = folder / "alerts.toml"
    path.write_bytes(text.encode())
    return read_entries(path)


def fault(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        entries(folder, text)
    return str(caught.value).removeprefix(f"{folder}/alerts.toml:")


def test_each_entry_and_each_key_knows_its_line(tmp_path: Path) -> None:
    text = '# head\n[[target]]\nname = "a"\n\n[[rule]]  # one\nname = "b"\nwarning = 3\n[[rule]]\nname = "c"\n'
    first, second, third = entries(tmp_path, text)
    assert (first.kind, first.line, first.key_lines) == ("target", 2, {"name": 3})
    assert (second.kind, second.line, second.key_lines) == ("rule", 5, {"name": 6, "warning": 7})
    assert (third.values, third.line) == ({"name": "c"}, 8)


def test_a_file_that_does_not_exist_has_no_entries(tmp_path: Path) -> None:
    assert read_entries(tmp_path / "alerts.toml") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[ruel]]\nname = "a"\n', "1: [[ruel]] is unknown; did you mean [[rule]]?"),
        ('[[xyz]]\nname = "a"\n', "1: [[xyz]] is unknown; there are [[rule]], [[target]], [[route]], [[mute]]"),
        ('\n[rule]\nname = "a"\n', "2: rule: write each entry as [[rule]] with its keys below"),
        ("rule = 3\n", "1: rule: write each entry as [[rule]] with its keys below"),
        ('rule = [{ name = "a" }]\n', "1: rule: write each entry as [[rule]] with its keys below"),
        ('[[rule]]\nname = "a"\nsummary = """\n[[rule]]\n"""\n', "1: rule: write each entry as [[rule]] with"),
        ("[[rule]]\nname = \n", "2: is not valid TOML"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line_and_what_would_be_right(
    tmp_path: Path, text: str, told: str
) -> None:
    assert fault(tmp_path, text).startswith(told)


def test_a_file_that_is_no_utf_8_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_bytes(b'[[rule]]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_entries(path)
