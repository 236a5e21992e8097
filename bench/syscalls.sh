#!/bin/sh
# System calls per echo request, counted by the kernel in the server's process only.
#
#   bench/syscalls.sh [CONNECTIONS [REQUESTS]]          (50, 100000; needs perf and the right to use it)
#
# The client runs twice, for REQUESTS and for three times as many; the difference of the two counts over the
# difference of the requests leaves out accepting and closing. Cargo options come from $CARGO_OPTIONS.
set -eu
cd "$(dirname "$0")/.."
connections=${1:-50}
requests=${2:-100000}

# shellcheck disable=SC2086 # several options are several words
nice cargo build --quiet --release -p bench ${CARGO_OPTIONS:-}
bench="${CARGO_TARGET_DIR:-target}/release/bench"
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -r "$work"
}
trap finish EXIT

# Prints the system calls of the server while a client makes so many requests of it.
count() {
    perf stat -x, -o "$work/count" -e raw_syscalls:sys_enter -p "$server" -- \
        "$bench" --load "$address" --connections "$connections" --requests "$1" --warmup 0 --core 1 \
        >/dev/null
    awk -F, '/raw_syscalls/ { print $1 }' "$work/count"
}

printf '%-10s %s\n' server "system calls per request"
for kind in bare greenloom; do
    mkfifo "$work/$kind"
    "$bench" --serve "$kind" --port 0 --core 0 >"$work/$kind" 2>/dev/null &
    server=$!
    exec 3<"$work/$kind"
    # "listening on ADDRESS", or an end of file from a build without this server.
    if read -r _ _ address <&3; then
        few=$(count "$requests")
        many=$(count $((3 * requests)))
        awk -v kind="$kind" -v few="$few" -v many="$many" -v n="$requests" \
            'BEGIN { printf "%-10s %.3f\n", kind, (many - few) / (2 * n) }'
        kill "$server"
    else
        printf '%-10s -\n' "$kind"
    fi
    wait "$server" || true
    server=
    exec 3<&-
done
