#!/usr/bin/env python3
"""Prints how the sources keep to their budgets: lengths of files and functions, parameters, conditional compilation, mutable
globals, shape comments, the share of tests. Exits with 1 where a hard limit (marked !) is broken.

    budgets.py [--list]     --list names every place beyond a limit

Reads text only and knows the layout that clang-format makes: a function begins in column 0, or in the first column of a class, and
ends with a brace in the same column.
"""
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTROL = re.compile(r"^(if|for|while|switch|do|else|namespace|struct|class|enum|union|extern|try|catch|return|case)\b")
SIGNATURE_END = re.compile(r"\)\s*(const|noexcept|override|final|->[^{]*|:[^{;]*(\{[^{}]*\}[^{;]*)*)*\s*\{$")
LOCAL_STATE = re.compile(r"^\s+static\s+(?!const\b|constexpr\b|constinit const\b)[\w:<>,&* ]+\s\w+\s*(=|;|\{)")
GLOBAL_STATE = re.compile(r"^(static |inline |thread_local )*(?!const|using|return|extern|typedef|template|friend|enum|struct|class|namespace)"
                          r"[\w:<>,]+[&*]? [\w]+( = .*|\{.*\})?;$")


def code_of(line):
    return re.sub(r"\s*//.*$", "", line).rstrip()


def split_parameters(text):
    depth, count, something = 0, 0, False
    for letter in text:
        depth += letter in "(<[{"
        depth -= letter in ")>]}"
        count += letter == "," and depth == 0
        something = something or not letter.isspace()
    return count + 1 if something else 0


def parameters_of(signature):
    """Of a definition's text up to its brace; a leading Context is not counted."""
    begin = signature.index("(")
    if signature[:begin].endswith("operator"):
        begin = signature.index("(", begin + 1)
    depth = 0
    for end in range(begin, len(signature)):
        depth += (signature[end] == "(") - (signature[end] == ")")
        if depth == 0:
            break
    inside = signature[begin + 1:end]
    return split_parameters(inside) - bool(re.match(r"\s*(const )?Context\s*&", inside))


def functions_of(lines):
    """(line number, name, length, parameters) of each definition longer than one line."""
    found, start, text, inside_until = [], None, "", 0
    for index, line in enumerate(lines):
        if index < inside_until:
            continue
        code = code_of(line)
        indent = len(code) - len(code.lstrip())
        if start is None:
            if indent not in (0, 4) or not code or code.lstrip()[0] in "#}/" or code.endswith((";", ":")):
                continue
            start, text = index, ""
        text = (text + " " + code.strip()).strip()
        if text.startswith("template") and re.fullmatch(r"template <.*>", text):
            text = ""
            continue
        if code.endswith("{") or code.endswith(";") or code.endswith("}"):
            if code.endswith("{") and SIGNATURE_END.search(text) and not CONTROL.match(text) and " = " not in text.split("(")[0]:
                column = len(lines[start]) - len(lines[start].lstrip())
                close = next((i for i in range(index + 1, len(lines)) if lines[i].startswith(" " * column + "}")), None)
                if close is not None:
                    name = re.search(r"([\w:~]+|operator\S+)\s*\($", text[:text.index("(") + 1])
                    found.append((start + 1, name.group(1) if name else "?", close - start + 1, parameters_of(text)))
                    inside_until = close + 1
            start = None
    return found


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def read(folder):
    paths = sorted(path for suffix in ("*.cpp", "*.h") for path in (ROOT / folder).rglob(suffix))
    return {path.relative_to(ROOT).as_posix(): path.read_text().splitlines() for path in paths}


def measure():
    """Rows of (budget, limit, measured, is it kept?, hard?, places beyond it)."""
    source, tests = read("src"), read("tests")
    total = sum(map(len, source.values()))
    lengths = {name: len(lines) for name, lines in source.items()}
    functions = [(f"{name}:{number}: {function}", length, parameters)
                 for name, lines in source.items() for number, function, length, parameters in functions_of(lines)]
    find = lambda pattern, where: [f"{name}:{number}: {line.strip()}" for name, lines in where.items()
                                   for number, line in enumerate(lines, 1) if pattern(line)]
    rows = []

    def add(budget, limit, value, kept, hard=False, places=()):
        rows.append((budget, limit, value, kept, hard, list(places)))

    longest = max(lengths, key=lengths.get)
    add("longest file", "≤ 600 lines", f"{lengths[longest]}", lengths[longest] <= 600, True,
        [f"{name}: {length}" for name, length in lengths.items() if length > 600])
    add("median file", "≤ 200 lines", f"{statistics.median(lengths.values()):.0f}", statistics.median(lengths.values()) <= 200)
    by_length = max(functions, key=lambda f: f[1])
    add("longest function", "≤ 100 lines", f"{by_length[1]}", by_length[1] <= 100, True,
        [f"{name}: {length} lines" for name, length, _ in functions if length > 100])
    p99 = quantile([length for _, length, _ in functions], 0.99)
    add("functions, 99 % of them", "≤ 60 lines", f"{p99} ({len(functions)} functions)", p99 <= 60, False,
        [f"{name}: {length} lines" for name, length, _ in functions if length > 60])
    # An operator's inner loop takes plain pointers and sizes: its contract is the operator's header.
    public = [f for f in functions if not f[0].startswith("src/ops/cpu/")]
    most = max(parameters for _, _, parameters in public)
    add("parameters besides Context", "≤ 6", f"{most}", most <= 6, False,
        [f"{name}: {parameters} parameters" for name, _, parameters in public if parameters > 6])
    # Kernels are compiled once per instruction set and ask the compiler which one it is.
    conditions = [place for place in find(lambda line: re.match(r"\s*#\s*(if|ifdef|ifndef)\b", line), source)
                  if not place.startswith("src/ops/cpu/")]
    add("#if outside kernels", "< 1 in 1000 lines", f"{1000 * len(conditions) / total:.2f}", len(conditions) * 1000 < total, False, conditions)
    state = [f"{name}:{number}: {line.strip()}" for name, lines in source.items() for number, line in enumerate(lines, 1)
             if (LOCAL_STATE.match(code_of(line)) or GLOBAL_STATE.match(code_of(line)))
             and not lines[number - 2].startswith("//")]  # a comment above says why
    add("unexplained mutable globals", "0", f"{len(state)}", not state, True, state)
    unfinished = find(lambda line: re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", line), {**source, **tests})
    add("TODO without an issue", "0", f"{len(unfinished)}", not unfinished, True, unfinished)
    shaped = {name: lines for name, lines in source.items() if name.startswith(("src/ops/", "src/model/"))}
    comments = find(lambda line: re.search(r"//.*\[[\w +·×*/−-]+(, [\w +·×*/−…-]+)*\]", line), shaped)
    rate = 1000 * len(comments) / sum(map(len, shaped.values()))
    add("shape comments in ops, model", "≥ 30 in 1000 lines", f"{rate:.0f}", rate >= 30)
    share = sum(map(len, tests.values())) / total
    add("tests ÷ source", "≥ 0.6", f"{share:.2f} ({sum(map(len, tests.values()))} ÷ {total} lines)", share >= 0.6)
    return rows


def main():
    rows = measure()
    for budget, limit, value, kept, hard, places in rows:
        print(f"{budget:30} {limit:20} {value:30} {'kept' if kept else 'BROKEN!' if hard else 'broken'}")
        if not kept or "--list" in sys.argv:
            for place in places:
                print(f"    {place}")
    sys.exit(any(hard and not kept for _, _, _, kept, hard, _ in rows))


if __name__ == "__main__":
    main()
