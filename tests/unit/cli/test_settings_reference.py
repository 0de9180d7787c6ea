"""docs/settings.md and .env.example say what settings.py does: same names, same defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from eventstream.settings import Settings

ROOT = Path(__file__).parents[3]


def names_of(field: str, info: FieldInfo) -> tuple[str, ...]:
    """The environment variables that a field is read from."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(name) for name in alias.choices if str(name).isupper())
    return (field.upper(),)


def default_of(info: FieldInfo) -> str:
    """A default as a person would write it; empty: not set."""
    return "" if info.default in (None, (), "") else str(info.default)


DEFAULTS = {
    names_of(field, info): default_of(info) for field, info in Settings.model_fields.items()
}


def documented() -> dict[tuple[str, ...], str]:
    rows = {}
    for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines():
        if row := re.fullmatch(r"\| (`.+?`) \| (.+?) \| (.+) \|", line):
            names = tuple(re.findall(r"`([A-Z_]+)`", row[1]))
            rows[names] = "" if row[2] == "not set" else row[2].strip("`")
    return rows


def exemplified() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, flags=re.MULTILINE))


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    assert set(documented()) == set(DEFAULTS)


@pytest.mark.parametrize("names", DEFAULTS, ids=lambda names: names[0])
def test_the_documented_default_is_the_real_one(names: tuple[str, ...]) -> None:
    assert documented()[names] == DEFAULTS[names]


def test_the_example_file_holds_every_setting_with_its_default() -> None:
    expected = {name: default for names, default in DEFAULTS.items() for name in names}
    assert exemplified() == expected


def test_nothing_is_switched_on_in_the_example_file() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
