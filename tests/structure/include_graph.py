#!/usr/bin/env python3
"""Checks every #include of src/ against the arrows that docs/architecture.md allows.

    include_graph.py [ROOT]      exit 1 names file and line of each wrong include
    include_graph.py --self-test shows that a wrong arrow, a cycle and a forbidden kernel include are found

The arrows are the lines `folder → a, b` of the block between `<!-- arrows -->` and `<!-- /arrows -->` in docs/architecture.md.
A folder may include itself and whatever its arrows lead to, directly or through others.
Kernel files (src/ops/cpu/*.cpp, and the headers there that they include) are compiled for instruction sets that the machine may
lack, so they may include only ops/cpu/, core/isa.h, core/dtype.h and headers of the compiler: see cmake/module.cmake.
"""
import pathlib
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
KERNEL_PROJECT = ("ops/cpu/", "core/isa.h", "core/dtype.h")
KERNEL_SYSTEM = {"cstdint", "cstddef", "immintrin.h", "string_view"}


def read_arrows(text):
    block = re.search(r"<!-- arrows -->(.*?)<!-- /arrows -->", text, re.S)
    if not block:
        sys.exit("docs/architecture.md has no block of arrows")
    arrows = {}
    for line in block.group(1).splitlines():
        match = re.match(r"\s*(\w+)\s*→\s*(.*)", line)
        if match:
            arrows[match.group(1)] = {name for name in re.split(r"[,\s]+", match.group(2)) if name and name != "—"}
    return arrows


def reachable(arrows, folder, path=()):
    if folder in path:
        sys.exit("the arrows have a cycle: " + " → ".join((*path, folder)))
    found = set()
    for target in arrows.get(folder, ()):
        found |= {target} | reachable(arrows, target, (*path, folder))
    return found


def includes_of(path):
    """(line number, quoted?, target) of each include."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def kernel_files(source):
    """src/ops/cpu/*.cpp and the headers below ops/cpu/ that they reach."""
    found, waiting = set(), list((source / "ops/cpu").glob("*.cpp"))
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        waiting += [source / target for _, quoted, target in includes_of(path) if quoted and target.startswith("ops/cpu/")]
    return found


def check(root):
    arrows = read_arrows((root / "docs/architecture.md").read_text())
    allowed = {folder: reachable(arrows, folder) | {folder} for folder in arrows}
    kernels = kernel_files(root / "src")
    problems = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".inc"):
            continue
        name = path.relative_to(root / "src").as_posix()
        folder = name.split("/")[0]
        for number, quoted, target in includes_of(path):
            where = f"src/{name}:{number}"
            if path in kernels:
                good = target.startswith(KERNEL_PROJECT) if quoted else target in KERNEL_SYSTEM
                if not good:
                    problems.append(f"{where}: a kernel file must not include {target}")
            elif quoted:
                to = target.split("/")[0]
                if folder not in allowed:
                    problems.append(f"{where}: folder '{folder}' has no line in docs/architecture.md")
                elif to not in allowed[folder]:
                    problems.append(f"{where}: no arrow {folder} → {to} (includes {target})")
    return problems


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for folder in ("docs", "src/core", "src/ops/cpu"):
            (root / folder).mkdir(parents=True)
        page = root / "docs/architecture.md"
        page.write_text("<!-- arrows -->\ncore → —\nops → core\n<!-- /arrows -->\n")
        (root / "src/ops/a.cpp").write_text('#include "core/b.h"\n#include <vector>\n')
        (root / "src/core/b.h").write_text("\n")
        assert check(root) == []
        (root / "src/core/b.h").write_text('\n#include "ops/a.h"\n')
        assert check(root) == ["src/core/b.h:2: no arrow core → ops (includes ops/a.h)"]
        (root / "src/core/b.h").write_text("")
        (root / "src/ops/cpu/k.cpp").write_text("#include <vector>\n")
        assert check(root) == ["src/ops/cpu/k.cpp:1: a kernel file must not include vector"]
        (root / "src/ops/cpu/k.cpp").write_text('#include "ops/cpu/k.h"\n')
        (root / "src/ops/cpu/k.h").write_text("#pragma once\n#include <string>\n")
        assert check(root) == ["src/ops/cpu/k.h:2: a kernel file must not include string"]
        page.write_text("<!-- arrows -->\ncore → ops\nops → core\n<!-- /arrows -->\n")
        try:
            check(root)
        except SystemExit as stop:
            assert "cycle" in str(stop)
        else:
            raise AssertionError("a cycle was not found")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        sys.exit(0)
    found = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(found) if found else "every include follows an arrow")
    sys.exit(bool(found))
