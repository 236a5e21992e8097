#!/bin/sh
# Instructions per operation, counted by valgrind: exact and the same on every run, which time is not.
#
#   bench/instructions.sh [CARGO OPTIONS]
#
# Each kind of operation runs twice, short and long; the difference of the two counts over the difference of
# the operations leaves out start-up and end. Operations are named in bench/README.md.
set -eu
cd "$(dirname "$0")/.."
short=20000
long=120000

nice cargo build --quiet --release -p bench "$@"
bench="${CARGO_TARGET_DIR:-target}/release/bench"

# Prints "OPERATIONS INSTRUCTIONS" of one run, or nothing if this build does not know the kind.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$bench" --child "instructions-$1" --n "$2" 2>&1 |
        awk '/operations$/ { done = $1 } /Collected :/ { seen = $NF } END { if (done && seen) print done, seen }'
}

printf '%-20s %s\n' operation instructions
for kind in raw-pair root-greenlet greenlet-greenlet yield spawn-1 spawn-1000 round-trip queue-item; do
    a=$(count "$kind" "$short")
    b=$(count "$kind" "$long")
    if [ -z "$a" ] || [ -z "$b" ]; then
        printf '%-20s -\n' "$kind"
        continue
    fi
    echo "$a $b" | awk -v kind="$kind" '{ printf "%-20s %.1f\n", kind, ($4 - $2) / ($3 - $1) }'
done
