#!/usr/bin/env bash
# Instructions and system calls per operation, counted by valgrind: the same on every run, which time is not.
#
#   bench/instructions.sh [CARGO OPTIONS]            prints them beside those in bench/instructions.json
#   bench/instructions.sh --check [CARGO OPTIONS]    fails if one has grown by more than 3 % against that file
#   bench/instructions.sh --update [CARGO OPTIONS]   writes that file
#
# Each kind of operation runs twice, short and long; the difference of the two counts over the difference of
# the operations leaves out start-up and end. Only instructions of the program itself count: libc picks its memcpy
# and the like by the CPU, and the kernel's are not seen at all. What is counted is said in bench/README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly FILE=bench/instructions.json
readonly PERCENT=3
readonly SHORT=20000 LONG=120000

die() {
    echo "error: $*" >&2
    exit 2
}

mode=print
case ${1:-} in
--check | --update)
    mode=${1#--}
    shift
    ;;
esac
command -v valgrind >/dev/null || die "no valgrind: apt-get install valgrind"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nice cargo build --quiet --release -p instructions "$@"
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/instructions")
target=$(rustc -vV | sed -n 's/^host: //p')
compiler=$(rustc --version)
mapfile -t kinds < <("$program" --list)

# Prints "OPERATIONS INSTRUCTIONS SYSTEM-CALLS" of one run.
count() {
    timeout 300 valgrind --tool=callgrind --callgrind-out-file="$work/profile" --collect-systime=yes \
        --compress-strings=no --compress-pos=no "$program" "$1" "$2" \
        >"$work/out" 2>"$work/err" || die "$1 does not run: $(tail -1 "$work/err")"
    # A cost line is "LINE INSTRUCTIONS SYSTEM-CALLS TIME"; the one after `calls=` says what a callee cost, which is
    # counted where it belongs. The clock is a system call for valgrind only: else the kernel's page answers.
    PROGRAM=$program awk '
        FILENAME == ARGV[1] { if (/operations$/) done = $1; next }
        /^ob=/ { own = substr($0, 4) == ENVIRON["PROGRAM"] }
        /^fn=/ { clock = /clock_gettime/ }
        /^calls=/ { getline; next }
        /^[0-9]/ { if (own) seen += $2; if (!clock) calls += $3 }
        END {
            if (!done || !seen) exit 1
            printf "%d %d %d\n", done, seen, calls
        }
    ' "$work/out" "$work/profile" || die "$1: no counts in what valgrind wrote"
}

# Prints "KIND INSTRUCTIONS SYSTEM-CALLS" of the file.
saved() {
    if [[ -f $FILE ]]; then
        sed -nE 's/^ *"([a-z0-9-]+)": *\{ *"instructions": *([0-9.]+), *"system_calls": *([0-9.]+) *\},?$/\1 \2 \3/p' "$FILE"
    fi
}

field() {
    sed -nE "s/^ *\"$1\": *\"(.*)\",?\$/\1/p" "$FILE"
}

for kind in "${kinds[@]}"; do
    a=$(count "$kind" "$SHORT")
    b=$(count "$kind" "$LONG")
    echo "$a $b" | awk -v kind="$kind" '{ n = $4 - $1; printf "%s %.1f %.2f\n", kind, ($5 - $2) / n, ($6 - $3) / n }'
done >"$work/counts"

if [[ $mode == update ]]; then
    {
        printf '{\n  "target": "%s",\n  "compiler": "%s",\n  "per_operation": {\n' "$target" "$compiler"
        sed -E 's/^(.*) (.*) (.*)$/    "\1": { "instructions": \2, "system_calls": \3 },/; $ s/,$//' "$work/counts"
        printf '  }\n}\n'
    } >"$work/new"
    mv "$work/new" "$FILE"
    echo "wrote $FILE"
fi

saved >"$work/saved"
failed=0
awk -v percent="$PERCENT" -v file="$FILE" '
    function judge(what, was, is) {
        if (is > was * (1 + percent / 100)) { grown = grown "\n" kind ": " what " grew from " was " to " is }
        else if (is < was * (1 - percent / 100)) { shrunk = shrunk "\n" kind ": " what " shrank from " was " to " is }
    }
    BEGIN { printf "%-20s %12s %9s %8s %14s %9s\n", "operation", "instructions", "in file", "change", "system calls", "in file" }
    FILENAME == ARGV[1] { instructions[$1] = $2; calls[$1] = $3; next }
    {
        kind = $1
        if (!(kind in instructions)) {
            printf "%-20s %12s %9s %8s %14s %9s\n", kind, $2, "-", "-", $3, "-"
            unknown = unknown "\n" kind " is not in the file"
            next
        }
        was = instructions[kind]
        printf "%-20s %12s %9s %+7.1f%% %14s %9s\n", kind, $2, was, was ? ($2 / was - 1) * 100 : 0, $3, calls[kind]
        judge("instructions", was + 0, $2 + 0)
        judge("system calls", calls[kind] + 0, $3 + 0)
        delete instructions[kind]
    }
    END {
        for (kind in instructions) unknown = unknown "\n" kind " is in the file and is not counted"
        if (shrunk) print shrunk "\nless than before: `bench/instructions.sh --update` keeps it so"
        if (grown) print grown
        if (unknown) print unknown
        exit (grown || unknown) ? 1 : 0
    }
' "$work/saved" "$work/counts" || failed=$?

if [[ $mode == check ]] && ((failed)); then
    [[ -f $FILE ]] || die "there is no $FILE"
    echo
    if [[ $(field target) != "$target" ]]; then
        echo "$FILE is for $(field target), and this is $target"
    fi
    if [[ $(field compiler) != "$compiler" ]]; then
        echo "$FILE was counted with $(field compiler), and this is $compiler: the cause may be the compiler"
    fi
    echo "FAILED: more than $PERCENT % above $FILE. If that is meant: bench/instructions.sh --update, in the same commit."
    exit 1
fi
