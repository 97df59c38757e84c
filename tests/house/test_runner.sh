#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/run.sh itself: what it counts, when it fails, what it says about skips.
. "$(dirname "$0")/../support/shell.sh"

script() { printf '#!/bin/bash\n%s\n' "$2" >"$work/$1"; chmod +x "$work/$1"; }
script test_pass.sh 'exit 0'
script test_fail.sh 'echo the reason; exit 3'
script test_skip.sh 'echo "SKIP: no such device"; exit 77'
script test_part.sh 'echo "SKIP: half of the data"; exit 0'
script test_hang.sh 'sleep 60'
script test_kill.sh 'kill -SEGV $$'
# What cmocka prints for a program with one test of each kind.
script test_mock "cat <<'X'
[ RUN      ] good_one
[       OK ] good_one
[ RUN      ] lost_one
[  ERROR   ] --- 1 != 2
[  FAILED  ] lost_one
[ RUN      ] absent_one
SKIP: the trace is not there
[  SKIPPED ] absent_one
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] lost_one
X
exit 1"
script test_early "echo '[ RUN      ] good_one'; echo '[       OK ] good_one'; exit 1"

script test_quote.sh "echo '[  FAILED  ] some_test'; exit 0"

# name, expected exit code, expected last line, further lines expected; then the arguments
expect() {
    local name=$1 code=$2 last=$3 line=$4 out
    shift 4
    out=$(env -u ALLOWED_SKIPS -u TEST_TIMEOUT_S JOBS=2 "${setting[@]}" tests/run.sh "${@/#/$work/}" 2>&1)
    [ $? = "$code" ] || fail "$name: exit code is not $code"
    [[ $(echo "$out" | tail -1) == "$last in "* ]] || { echo "FAIL: $name: last line: $(echo "$out" | tail -1)"; failed=1; }
    echo "$out" | grep -qF -- "$line" || { echo "FAIL: $name: no line '$line' in:"; echo "$out"; failed=1; }
}
setting=()
expect pass      0 '1 passed, 0 failed, 0 skipped' 'test_pass.sh (' test_pass.sh
expect fail      1 '1 passed, 1 failed, 0 skipped' 'test_fail.sh: exit code 3' test_pass.sh test_fail.sh
expect output    1 '0 passed, 1 failed, 0 skipped' '    | the reason' test_fail.sh
expect skip      0 '0 passed, 0 failed, 1 skipped' 'test_skip.sh: no such device' test_skip.sh
expect part      0 '1 passed, 0 failed, 1 skipped' 'test_part.sh: half of the data' test_part.sh
expect cmocka    1 '1 passed, 1 failed, 1 skipped' 'test_mock:absent_one: the trace is not there' test_mock
expect 'one fail' 1 '1 passed, 1 failed, 1 skipped' 'test_mock:lost_one' test_mock
expect early     1 '1 passed, 1 failed, 0 skipped' 'test_early: exit code 1' test_early
expect killed    1 '0 passed, 1 failed, 0 skipped' 'test_kill.sh: exit code 139' test_kill.sh
expect missing   1 '0 passed, 1 failed, 0 skipped' 'test_none.sh: exit code 127' test_none.sh
expect quoted    0 '1 passed, 0 failed, 0 skipped' 'test_quote.sh' test_quote.sh
expect nothing   1 '0 passed, 0 failed, 0 skipped' 'no tests were found'
setting=(TEST_TIMEOUT_S=1)
expect hang      1 '0 passed, 1 failed, 0 skipped' 'test_hang.sh: stopped after 1 s' test_hang.sh
echo "$work/test_skip.sh" >"$work/list"
setting=(ALLOWED_SKIPS="$work/list")
expect allowed   0 '0 passed, 0 failed, 1 skipped' 'no such device' test_skip.sh
expect forbidden 1 '1 passed, 0 failed, 1 skipped' "test_part.sh is not in $work/list" test_part.sh

[ $failed = 0 ] && echo "runner: passes, failures, skips, crashes, time limit, list of skips"
exit $failed
