import ast
import sys
from pathlib import Path

SYNC = Path(__file__).parents[2] / "sync"


def test_sync_imports_the_standard_library_only() -> None:
    foreign = {
        f"{file.name}: {name}"
        for file in SYNC.glob("**/*.py")
        for name in imported(file)
        if name not in sys.stdlib_module_names and name != "sync"
    }

    assert foreign == set()


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names
