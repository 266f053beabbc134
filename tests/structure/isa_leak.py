#!/usr/bin/env python3
"""Checks that no function compiled for a newer instruction set can run on a machine that lacks it.

    isa_leak.py ROOT BUILD              exit 1 names the symbols
    isa_leak.py --self-test COMPILER    shows that a leak of either kind is found

Kernel files are compiled once per instruction set. The linker keeps one copy of an inline function for the whole program, so a
copy compiled for AVX-512 could be chosen for everybody. Hence two rules:
  - a function that a kernel's object file offers to the linker is a template over exactly that object's Isa, or no other object
    offers it;
  - in the program, only functions of such object files touch ymm, zmm or tile registers.
"""
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

CODE = re.compile(r"^[0-9a-f]+ ([TtWwi]) (\S+)$")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
WIDE = re.compile(r"%[yz]mm|%tmm")


def run(*words):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout


def demangled(names):
    return run("c++filt", *names).splitlines() if names else []


def read_isas(root):
    body = re.search(r"enum class Isa[^{]*\{([^}]*)\}", (root / "src/core/isa.h").read_text()).group(1)
    names = re.findall(r"^\s*(\w+)", re.sub(r"//.*", "", body).replace(",", "\n"), re.M)
    return {name: value for value, name in enumerate(names)}


def functions_of(path, *options):
    matches = map(CODE.match, run("nm", "--defined-only", *options, path).splitlines())
    return [match.group(2) for match in matches if match]


def leaks_of_objects(kernels, others):
    """`kernels`: {object file: number of its instruction set}; `others`: the program's other object files."""
    offered = {path: functions_of(path, "--extern-only") for path in (*kernels, *others)}
    offers = collections.Counter(name for names in offered.values() for name in names)
    leaks = []
    for path, isa in kernels.items():
        suspects = [name for name in offered[path] if f"3IsaE{isa}E" not in name]
        for name in demangled([name for name in suspects if offers[name] > 1]):
            leaks.append(f"{path.name} of instruction set {isa} offers '{name}', as another object does")
    return leaks


def leaks_of_program(program, kernels):
    allowed = {name for path, isa in kernels.items() if isa > 0 for name in functions_of(path)}
    function, leaks = "", {}
    for line in run("objdump", "--disassemble", "--no-show-raw-insn", program).splitlines():
        match = FUNCTION.match(line)
        if match:
            function = match.group(1)
        elif function not in allowed and WIDE.search(line):
            leaks[function] = line.strip()
    return [f"{program.name}: '{name}' uses wide registers" for name in demangled(list(leaks))]


def check(root, build):
    kernels = {path: value for name, value in read_isas(root).items()
               for path in sorted((build / "src").glob(f"*/CMakeFiles/hadal_*_{name}.dir/cpu/*.o"))}
    if not kernels:
        sys.exit(f"no kernel objects below {build}")
    others = [path for path in (build / "src").rglob("*.o") if path not in kernels]
    leaks = leaks_of_objects(kernels, others)
    if (build / "hadal").exists():
        leaks += leaks_of_program(build / "hadal", kernels)
    return leaks


def self_test(compiler):
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        source = folder / "k.cpp"
        source.write_text("""
            namespace hadal { enum class Isa { portable, avx2 };
            template <Isa isa> void kernel(float* x) { for (int i = 0; i < 64; ++i) x[i] *= 2; }
            template void kernel<Isa::THIS>(float*);
            #ifdef LEAK
            inline void helper(float* x) { for (int i = 0; i < 64; ++i) x[i] += 1; }
            void (*keep_THIS)(float*) = helper;
            #endif
            #ifdef PROGRAM
            }
            int main(int n, char**) { float x[64] = {float(n)}; hadal::kernel<hadal::Isa::THIS>(x); return int(x[0]);
            #endif
            }""")

        def compiled(name, *options):
            run(compiler, "-O3", "-c", source, "-o", folder / name, *options)
            return folder / name

        wide = compiled("wide.o", "-mavx2", "-DTHIS=avx2")
        plain = compiled("plain.o", "-DTHIS=portable")
        assert leaks_of_objects({wide: 1, plain: 0}, []) == []
        wide = compiled("wide.o", "-mavx2", "-DTHIS=avx2", "-DLEAK")
        plain = compiled("plain.o", "-DTHIS=portable", "-DLEAK")
        found = leaks_of_objects({wide: 1}, [plain])
        assert len(found) == 1 and "hadal::helper" in found[0], found
        main = compiled("main.o", "-mavx2", "-DTHIS=avx2", "-DPROGRAM")
        run(compiler, main, "-o", folder / "program")
        assert leaks_of_program(folder / "program", {main: 1}) == []
        assert leaks_of_program(folder / "program", {}) != []


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test(sys.argv[2])
        sys.exit(0)
    found = check(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    print("\n".join(found) if found else "no function leaves its instruction set")
    sys.exit(bool(found))
