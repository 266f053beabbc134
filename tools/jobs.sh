#!/bin/sh
# Parallel jobs for a build: processors, but no more than one for each 1.5 GiB of memory.
cores=$(nproc)
memory=$(awk '/MemAvailable/ {print int($2 / 1572864)}' /proc/meminfo)
[ "${memory:-1}" -ge 1 ] || memory=1
[ "$cores" -le "$memory" ] && echo "$cores" || echo "$memory"
