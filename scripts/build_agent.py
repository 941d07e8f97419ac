"""Build the agent as one file: ``python scripts/build_agent.py dist/nomade-agent.pyz``.

The file runs on any host with Python 3.9 or newer and nothing installed. It holds the agent's
closure and, for Python < 3.11, the TOML reader `tomli`. The same sources give the same bytes.
"""

from __future__ import annotations

import ast
import importlib.metadata
import stat
import sys
import zipfile
from pathlib import Path
from typing import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "nomade_pipeline"
ENTRY = f"{PACKAGE}.agent.__main__"
MAIN = f"import sys\n\nfrom {ENTRY} import main\n\nsys.exit(main())\n"
SHEBANG = b"#!/usr/bin/env python3\n"
# The earliest moment a zip file can hold: no build time enters the file.
MOMENT = (1980, 1, 1, 0, 0, 0)


def closure(entry: str = ENTRY) -> dict[str, Path]:
    """Return the modules of ours that an entry module and the collectors import, directly or not, with their files.

    Collectors that are imported when they are first needed stand in no import statement.
    """
    found: dict[str, Path] = {}
    collectors = sorted((REPOSITORY / PACKAGE / "collectors").glob("*.py"))
    waiting = [entry, *(f"{PACKAGE}.collectors.{file.stem}" for file in collectors if file.stem != "__init__")]
    while waiting:
        module = waiting.pop()
        file = _file_of(module)
        if module in found or file is None:
            continue
        found[module] = file
        waiting += [module.rpartition(".")[0], *_imports(file)]
    return found


def _file_of(module: str) -> Path | None:
    """Return the file of a module of ours; None for a name within a module and for foreign modules."""
    if not module.startswith(PACKAGE):
        return None
    path = REPOSITORY / module.replace(".", "/")
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _imports(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, at its top and inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tomli_files() -> dict[str, bytes]:
    """Return the sources and the licence of the installed `tomli`, by their name in the archive.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed (`make setup` does).
    """
    files = importlib.metadata.files("tomli") or []
    wanted = [file for file in files if file.suffix == ".py" or file.name.startswith("LICENSE")]
    return {
        str(file) if file.suffix == ".py" else f"tomli/{file.name}": Path(str(file.locate())).read_bytes()
        for file in wanted
    }


def contents() -> dict[str, bytes]:
    """Return what the archive holds: names and bytes."""
    ours = {str(file.relative_to(REPOSITORY)): file.read_bytes() for file in closure().values()}
    return {"__main__.py": MAIN.encode(), "LICENSE": (REPOSITORY / "LICENSE").read_bytes(), **ours, **tomli_files()}


def build(target: Path) -> None:
    """Write the archive and make it executable."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in sorted(contents().items()):
                entry = zipfile.ZipInfo(name, MOMENT)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
    target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


if __name__ == "__main__":
    destination = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/nomade-agent.pyz")
    build(destination)
    print(f"{destination}: {destination.stat().st_size} bytes")
