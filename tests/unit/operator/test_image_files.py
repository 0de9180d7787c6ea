"""Dockerfile.operator copies of the services what the operator imports: no more, no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
SERVICES = ROOT / "services"


def imported_names(file: Path) -> Iterator[str]:
    """The modules, and what may be modules, that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def files_behind(name: str) -> Iterator[Path]:
    """The files that importing a module of the services runs: its packages' and its own."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = SERVICES.joinpath(*parts[:end])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def test_the_operators_image_has_the_modules_that_it_imports() -> None:
    waiting = list((ROOT / "operator/eventstream_operator").rglob("*.py"))
    needed: set[Path] = set()
    while waiting:
        for name in imported_names(waiting.pop()):
            if name.partition(".")[0] == "eventstream":
                new = set(files_behind(name)) - needed
                needed |= new
                waiting.extend(new)
    copied = re.findall(r"services/eventstream/\S+\.py", (ROOT / "Dockerfile.operator").read_text())
    imported = {str(file.relative_to(ROOT)) for file in needed}
    assert imported - set(copied) == set(), "imported, and not copied"
    assert set(copied) - imported == set(), "copied, and not imported"
