"""Runs every line of bad_input.txt on the built program. See bad_input.sh."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

import fixtures


def tree(folder):
    """What a command must not change: every file's name, size and time."""
    found = {}
    for path in pathlib.Path(folder).rglob("*"):
        if path.name == "lock":  # every job that looks at a run takes it
            continue
        status = path.lstat()
        found[str(path)] = (status.st_size if path.is_file() else 0, status.st_mtime_ns if path.is_file() else 0)
    return found


def cases(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        status, part, command = (field.strip() for field in line.split(" | ", 2))
        command, _, given = command.partition(" <<< ")
        yield number, int(status), part, shlex.split(command), given


def problems(result, status, part, changed):
    error = result.stderr.decode(errors="replace")
    lines = [line for line in error.splitlines() if not line.startswith("warning: ")]
    if result.returncode != status:
        yield f"exit status {result.returncode}, not {status}"
    if status == 0 and lines:
        yield "more than warnings"
    if status != 0 and (len(lines) != 1 or not lines[0].startswith("error: ") or not error.endswith("\n")):
        yield "not one line of error"
    if part not in error:
        yield f"no word of '{part}'"
    if len(error) > 600:
        yield f"{len(error)} characters long"
    if status != 0 and result.stdout:
        yield f"{len(result.stdout)} bytes on standard output"
    if changed:
        yield f"left behind or changed: {sorted(changed)[:3]}"


def main():
    hadal = str(pathlib.Path(sys.argv[1]).resolve())
    table = pathlib.Path(__file__).with_name("bad_input.txt")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HADAL_")}
    failures = count = 0
    with tempfile.TemporaryDirectory(prefix="hadal-bad-input-") as folder:
        fixtures.Fixtures(hadal, folder).make()
        before = tree(folder)
        for number, status, part, words, given in cases(table):
            words = [word.replace("@", folder) for word in words]
            result = subprocess.run(
                [hadal, *words], input=given.encode(), capture_output=True, cwd=folder, env=environment, timeout=60
            )
            after = tree(folder)
            changed = {path for path, _ in before.items() ^ after.items()}
            found = list(problems(result, status, part.replace("@", folder), changed))
            for path in sorted(changed, reverse=True):  # so that one failure does not bring others
                if path not in before:
                    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            count += 1
            if found:
                failures += 1
                print(f"{table.name}:{number}: hadal {shlex.join(words)}\n    {'; '.join(found)}")
                print("    " + result.stderr.decode(errors="replace")[:500].rstrip())
    print(f"{count} cases of bad input, {failures} failed")
    sys.exit(failures > 0)


main()
