#!/bin/sh
# Installs what the build needs: Debian 12 or newer, Ubuntu 24.04 or newer. Does nothing, and needs no network, when all is there.
# --dev adds what formatting, static analysis and fuzzing need.
set -eu

# Boost 1.81 or newer: Debian 12 has it beside its default of 1.74.
boost=libboost-dev
grep -q "^VERSION_CODENAME=bookworm" /etc/os-release 2>/dev/null && boost=libboost1.81-dev
packages="g++ cmake ninja-build ccache pkg-config git python3
    nlohmann-json3-dev libtomlplusplus-dev libsimdjson-dev libpcre2-dev libxxhash-dev libssl-dev $boost doctest-dev"
[ "${1:-}" = "--dev" ] && packages="$packages clang-19 libclang-rt-19-dev clang-tidy-19 clang-format-19"

missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

echo "installing:$missing"
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo > /dev/null; then
    sudo="sudo"
else
    echo "error: not root and no sudo: install these packages:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
for attempt in 1 2 3; do
    $sudo apt-get update -q > /dev/null && break
    [ "$attempt" = 3 ] && echo "warning: the package lists could not be refreshed" >&2
    sleep 5
done
$sudo apt-get install -y -q --no-install-recommends $missing > /dev/null || {
    echo "error: apt-get could not install:$missing" >&2
    exit 1
}
