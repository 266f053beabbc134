#!/usr/bin/env bash
# The web pages, in web/: `build` writes src/serve/page, `check` tests sources, build and pages. Needs Node 20 and npm; the browser
# tests want a Chromium (CHROMIUM names it where it is not /usr/bin/chromium).
#     tools/page.sh build | check HADAL
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
command -v npm > /dev/null || {
    echo "error: npm is not here (install nodejs and npm, version 20 or newer)" >&2
    exit 1
}
hadal=$(realpath "${2:-$root/build/release/hadal}")
cd "$root/web"
npm ci --no-audit --no-fund --loglevel=error > /dev/null
case "${1:-}" in
build)
    exec npm run --silent build
    ;;
check)
    npm run --silent format-check
    npm run --silent types
    npm run --silent test
    built=$(mktemp -d)
    trap 'rm -rf "$built"' EXIT
    node build.mjs "$built"
    diff -rq "$built" "$root/src/serve/page" || {
        echo "error: src/serve/page is not what web/ builds to (run make page, and commit it)" >&2
        exit 1
    }
    HADAL=$hadal npm run --silent browser
    ;;
*)
    echo "error: tools/page.sh wants build or check" >&2
    exit 2
    ;;
esac
