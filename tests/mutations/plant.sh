#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Plants each fault of tests/mutations/*.sed into a copy of its file of sim/serve, links the tests with it and expects
# one of them to fail: do the tests that hold the engine to docs/engine.md notice?
#   tests/mutations/plant.sh engine|tiers|NAME...
# engine: the faults against docs/engine.md; tiers: those against docs/tiers.md, whose rules are T1, T2, ...
# A fault: the first line of its file names the source, the second says what is wrong, the rest is the sed script. A
# script that changes nothing is an error: the engine has moved on, and the fault must be planted anew.
# KVSIM=path of the program: its folder holds the objects of the build under test.
build=$(dirname "${KVSIM:-build/release/kvsim}")
. "$(dirname "$0")/../support/shell.sh"
tests=(test_boundary test_oracle test_oracle_tiers)
ranks_tests=(test_group test_oracle_ranks)   # of sim/serve/group.c, which the others never enter
[ -f "$build/libkvsim.a" ] || { echo "$build/libkvsim.a is missing: run 'make check'"; exit 1; }

pkgs="gsl yaml-0.1 zlib hdf5 libcrypto"
! pkg-config --exists libisal || pkgs="$pkgs libisal"
cflags="-std=c17 -D_POSIX_C_SOURCE=200809L -O1 -ffp-contract=off -I. -I$build $(pkg-config --cflags $pkgs)"
libs="-lcmocka $(pkg-config --libs $pkgs) -lhdf5_hl -lm"
[ "${FLAVOUR:-release}" != san ] || cflags="$cflags -fsanitize=address,undefined -fno-sanitize-recover=all"

# run_with SOURCE: links SOURCE before the library, so that it stands in for the library's own object of that file,
# and runs the tests up to the first failure. 0: all pass; 1: one failed, named in $caught; 2: does not build.
run_with() {
    gcc $cflags -c "$1" -o "$work/mutant.o" 2>"$work/log" || return 2
    local these=("${tests[@]}")
    case $1 in */group.c) these=("${ranks_tests[@]}") ;; esac
    for test in "${these[@]}"; do
        gcc $cflags -o "$work/$test" "$build/tests/sim/serve/$test.o" "$work/mutant.o" "$build"/tests/oracle/*.o \
            "$build"/tests/support/*.o "$build/libkvsim.a" $libs 2>"$work/log" || return 2
        caught=$test
        # The trace is left out: random scenarios must do.
        case $test in test_oracle) range="0 239" ;; test_oracle_tiers) range="0 149" ;; test_oracle_ranks) range="0 99" ;; *) range= ;; esac
        timeout "$limit_s" "$work/$test" $range >"$work/log" 2>&1 || return 1
    done
    return 0
}

against_tiers() { sed -n 2p "$1" | grep -q '(T[0-9]'; }

limit_s=600 started=$SECONDS
# Nothing planted: everything must pass, or the rest would mean nothing.
if ! run_with sim/serve/instance.c || ! run_with sim/serve/group.c; then
    echo "the tests fail without any fault:"; tail -n 5 "$work/log"; exit 1
fi

# Some faults make a run endless; a slow machine makes none.
limit_s=$((10 + 5 * (SECONDS - started)))
planted=0 failed=0
names=("$@")
case ${1:-} in
engine | tiers)
    names=()
    for file in tests/mutations/*.sed; do
        of=engine
        ! against_tiers "$file" || of=tiers
        [ $of != "$1" ] || names+=("$(basename "$file" .sed)")
    done ;;
esac
for name in "${names[@]}"; do
    script=tests/mutations/$name.sed
    source=$(sed -n '1s/^# //p' "$script")
    sed -f "$script" "$source" >"$work/$(basename "$source")"
    # A fault against docs/tiers.md is looked for in its test first: mostly it alone notices.
    tests=(test_boundary test_oracle test_oracle_tiers)
    ! against_tiers "$script" || tests=(test_oracle_tiers test_boundary test_oracle)
    planted=$((planted + 1))
    if cmp -s "$source" "$work/$(basename "$source")"; then
        echo "NOT PLANTED  $name: $script changes nothing in $source"; failed=$((failed + 1)); continue
    fi
    run_with "$work/$(basename "$source")" 2>/dev/null   # bash's own word on an abort
    case $? in
    1) printf 'caught by %-13s  %s\n' "$caught" "$name" ;;
    0) echo "NOT CAUGHT   $name: $(sed -n '2s/^# //p' "$script")"; failed=$((failed + 1)) ;;
    *) echo "DOES NOT BUILD  $name"; tail -n 5 "$work/log"; failed=$((failed + 1)) ;;
    esac
done
echo "$planted faults planted, $failed not noticed"
least=1
case ${1:-} in engine | tiers) least=10 ;; esac
[ $failed -eq 0 ] && [ $planted -ge $least ]
