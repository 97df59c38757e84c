#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs cmocka programs and test scripts from the repository root and sums them up.
#   tests/run.sh PROGRAM_OR_SCRIPT...
# KVSIM          the program under test, handed to scripts
# ALLOWED_SKIPS  file of names (one a line, # comments); a skip that is not in it is a failure
# JOBS           how many at once (number of processors)   TEST_TIMEOUT_S  for one of them (300)
#
# A script passes with exit code 0 and is skipped with 77. Whatever runs may print "SKIP: reason" lines: each is one
# skip under the name of what printed it, or of the cmocka test that was skipped.
set -u
cd "$(dirname "$0")/.."
export LC_ALL=C KVSIM=${KVSIM:-./kvsim}
jobs=${JOBS:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The Python that has the packages: Debian's, when another one comes first in PATH.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    "$PYTHON" -c 'import h5py' 2>/dev/null || PYTHON=/usr/bin/python3
fi
export PYTHON
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# Worker: runs one test; leaves NUMBER.log, and NUMBER.sum with lines "pass|fail|skip<TAB>name<TAB>text".
run_one() {
    local number=$1 test=$2 start=$EPOCHREALTIME code seconds
    local name=${test#build/*/} log=$work/$number.log
    local limit=${TEST_TIMEOUT_S:-300}
    case $name in */slow_*) limit=$((limit * 4)) ;; esac
    mkdir "$work/$number.tmp"
    TMPDIR=$work/$number.tmp timeout -k 10 "$limit" "$( [ -x "$test" ] && realpath "$test" || echo bash )" \
        $([ -x "$test" ] || echo "$test") >"$log" 2>&1 </dev/null
    code=$?
    rm -rf "$work/$number.tmp"
    seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")
    awk -v name="$name" -v code=$code -v limit="$limit" '
        function out(kind, what, text) { print kind "\t" what "\t" text; count[kind]++ }
        # Only programs speak cmocka; a script may show what some other program said.
        name ~ /\.sh$/ && /^\[/  { next }
        /^SKIP: /               { reason = substr($0, 7); reasons[++reason_count] = reason; next }
        /^\[ RUN      \] /      { reason = "" }
        /^\[       OK \] /      { out("pass", name ":" $NF, "") }
        /^\[  FAILED  \] [a-z]/ { if (!failed[$NF]++) out("fail", name ":" $NF, "") }
        /^\[  SKIPPED \] [a-z]/ { if (!skipped[$NF]++) { out("skip", name ":" $NF, reason ? reason : "no reason given")
                                                        reasons[reason_count] = "" } }
        END {
            cmocka = count["pass"] + count["fail"] + count["skip"]
            if (code == 77) { out("skip", name, reason_count ? reasons[reason_count] : "no reason given"); exit }
            for (i = 1; i <= reason_count; i++) if (reasons[i] != "") out("skip", name, reasons[i])
            if (code == 124 || code == 137) out("fail", name, "stopped after " limit " s")
            else if (code != 0 && !count["fail"]) out("fail", name, "exit code " code)
            else if (!cmocka && code == 0) out("pass", name, "")
        }' "$log" >"$work/$number.new"
    { printf 'time\t%s\t%s\n' "$name" "$seconds"; cat "$work/$number.new"; } >"$work/$number.part"
    mv "$work/$number.part" "$work/$number.sum"
}

# Prints one finished test; its log only when it failed.
show() {
    local kind name text
    while IFS=$'\t' read -r kind name text; do
        case $kind in
        time) printf '%s (%s s)\n' "$name" "$text" ;;
        pass) [[ $name != *:* ]] || printf '    ok      %s\n' "${name##*:}" ;;
        skip) printf '    skipped %s: %s\n' "${name##*:}" "$text" ;;
        fail) printf '    FAILED  %s%s\n' "${name##*:}" "${text:+: $text}" ;;
        esac
    done <"$work/$1.sum"
    cat "$work/$1.sum" >>"$work/all"
    if grep -q ^fail "$work/$1.sum"; then
        echo "    ---- output"
        tail -n 200 "$work/$1.log" | sed 's/^/    | /'
    fi
}

touch "$work/all"
started=$SECONDS number=0 shown=0
for test in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    number=$((number + 1))
    run_one $number "$test" &
    while [ -e "$work/$((shown + 1)).sum" ]; do shown=$((shown + 1)); show $shown; done
done
wait
while [ $shown -lt $number ]; do shown=$((shown + 1)); show $shown; done

passed=$(grep -c ^pass "$work/all") failed=$(grep -c ^fail "$work/all") skipped=$(grep -c ^skip "$work/all")
if [ "$skipped" -gt 0 ]; then
    echo; echo "Skipped:"
    awk -F'\t' '$1 == "skip" { printf "  %s: %s\n", $2, $3 }' "$work/all"
fi
if [ "$failed" -gt 0 ]; then
    echo; echo "Failed:"
    awk -F'\t' '$1 == "fail" { printf "  %s%s\n", $2, ($3 == "" ? "" : ": " $3) }' "$work/all"
fi
unexpected=0
if [ -n "${ALLOWED_SKIPS:-}" ]; then
    while read -r name; do
        grep -qxF -- "$name" "$ALLOWED_SKIPS" && continue
        echo "FAIL: skip of $name is not in $ALLOWED_SKIPS"
        unexpected=$((unexpected + 1))
    done < <(awk -F'\t' '$1 == "skip" { print $2 }' "$work/all" | sort -u)
fi
echo
[ $number -gt 0 ] || echo "FAIL: no tests were found"
echo "$passed passed, $failed failed, $skipped skipped in $((SECONDS - started)) s (${FLAVOUR:-release})"
[ $number -gt 0 ] && [ "$failed" = 0 ] && [ $unexpected = 0 ]
