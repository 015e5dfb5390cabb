"""Architecture: no circle of imports, and packages that import only those below them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

# From the lowest up. A room may import those of the lines above it here, none of its own line.
FLOORS = (
    ("errors", "exit_codes", "paths", "fast_exit"),
    ("config",),
    ("models", "losses", "metrics", "optim"),
    ("data",),
    ("runs",),
    ("tracking",),
    ("build",),
    ("preflight",),
    ("profiling", "inference"),
    ("engine",),
    ("job",),
    ("api",),
    ("sweep",),
    ("report",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def _modules() -> dict[str, Path]:
    found = {}
    for file in (SRC / "segscape").rglob("*.py"):
        parts = list(file.relative_to(SRC).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = file
    return found


MODULES = _modules()


def _imported(tree: ast.AST) -> Iterator[str]:
    """Modules of segscape that a file imports, at its top or in a function; not those for types."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


GRAPH = {
    name: set(_imported(ast.parse(file.read_text()))) - {name} for name, file in MODULES.items()
}


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other: those that are left when leaves and roots are gone."""
    graph = {node: set(edges) & set(graph) for node, edges in graph.items()}
    while True:
        read = set().union(*graph.values())
        gone = {node for node, edges in graph.items() if not edges or node not in read}
        if not gone:
            return [sorted(graph)] if graph else []
        graph = {n: edges - gone for n, edges in graph.items() if n not in gone}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_the_search_for_circles_finds_one() -> None:
    assert _circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_circle_among_files() -> None:
    assert _circles(GRAPH) == []


def test_every_room_has_its_floor() -> None:
    assert {_room(module) for module in MODULES} - {""} == set(LEVEL)


@pytest.mark.parametrize("room", [room for room in LEVEL if room])
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in sorted(GRAPH.items())
        if _room(module) == room
        for other in sorted(others)
        if _room(other) not in (room, "") and LEVEL[_room(other)] >= LEVEL[room]
    ]
    assert not upwards, "; ".join(upwards)


def test_rooms_of_the_sweep_and_the_data_form_no_circle() -> None:
    """Folders inside a room too: sweep/plan, data/storage and the like."""
    for room in ("sweep", "data", "models", "engine", "report", "config"):
        folders: dict[str, set[str]] = {}
        for module, others in GRAPH.items():
            if _room(module) != room:
                continue
            folder = ".".join(module.split(".")[1:3])
            folders.setdefault(folder, set())
            folders[folder] |= {
                ".".join(other.split(".")[1:3]) for other in others if _room(other) == room
            } - {folder}
        assert _circles(folders) == []
