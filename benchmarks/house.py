"""What the house looks like in numbers: lines, rooms, late imports, untyped records, and what `import cidesign` costs.

    python benchmarks/house.py

Goals: at most 20 files in a folder, under 120 imports inside functions, under 40 `dict[str, Any]`, modules up to 400
lines, functions up to 60, `import cidesign` under 60 ms and without torch.
"""

import ast
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ("cidesign", "export", "calibration", "hardware_profiles")
MODALITY_WORDS = ({"single_pixel", "single-pixel"}, {"cassi"}, {"mri"})
RUNS = 15
# Time of the import itself, without the start of Python; and whether torch came with it.
COST = (
    "import sys, time; start = time.perf_counter(); import cidesign; "
    "print(1000 * (time.perf_counter() - start), 'torch' in sys.modules)"
)


def late_imports(tree: ast.Module) -> int:
    """Import statements inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return len(
        {inner for node in functions for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)}
    )


def untyped_records(tree: ast.Module) -> int:
    """How often `dict[str, Any]` is written."""
    return sum(isinstance(node, ast.Subscript) and ast.unparse(node) == "dict[str, Any]" for node in ast.walk(tree))


def names_every_modality(tree: ast.Module) -> bool:
    """Whether imports, attributes, names or whole words in quotes name single-pixel, CASSI and MRI."""
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            words |= set(node.module.split("."))
        elif isinstance(node, ast.Import):
            words |= {word for alias in node.names for word in alias.name.split(".")}
        elif isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= set(node.value.split("."))
    return all(words & modality for modality in MODALITY_WORDS)


def import_cost() -> tuple[float, bool]:
    """Median of `import cidesign` in ms, and whether torch is loaded with it."""
    times_ms, torch = [], False
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", COST], cwd=ROOT, capture_output=True, text=True, check=True)
        taken, loaded = done.stdout.split()
        times_ms.append(float(taken))
        torch |= loaded == "True"
    return statistics.median(times_ms), torch


def main() -> None:
    """Print the table."""
    paths = sorted(path for source in SOURCES for path in (ROOT / source).rglob("*.py"))
    trees = {path: ast.parse(path.read_text()) for path in paths}
    lines = {path: path.read_text().count("\n") for path in paths}
    folders = Counter(path.parent for path in paths if path.name != "__init__.py")
    functions = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, path, node.name)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    folder, files = folders.most_common(1)[0]
    module = max(paths, key=lambda path: lines[path])
    length, longest_in, longest = max(functions)
    everywhere = [path for path in paths if names_every_modality(trees[path])]
    cost_ms, torch = import_cost()

    def told(path: Path) -> str:
        return str(path.relative_to(ROOT))

    print(f"{'product lines':<34} {sum(lines.values()):>7}   in {len(paths)} files")
    print(f"{'most files in a folder':<34} {files:>7}   {told(folder)} (without __init__.py)")
    print(f"{'imports inside functions':<34} {sum(map(late_imports, trees.values())):>7}")
    print(f"{'dict[str, Any]':<34} {sum(map(untyped_records, trees.values())):>7}")
    print(f"{'longest module, lines':<34} {lines[module]:>7}   {told(module)}")
    print(f"{'longest function, lines':<34} {length:>7}   {longest} in {told(longest_in)}")
    print(f"{'files that name every modality':<34} {len(everywhere):>7}   {', '.join(map(told, everywhere))}")
    print(f"{'import cidesign, ms':<34} {cost_ms:>7.1f}   {'with' if torch else 'without'} torch")


if __name__ == "__main__":
    main()
