# SPDX-License-Identifier: Apache-2.0
# How a shell test begins; source it: . "$(dirname "$0")/../support/shell.sh"
# It goes to the root of the repository and gives
#   $KVSIM     the program under test, as a full path
#   $shared    where test data lie that are not part of the repository
#   $work      an empty folder, removed at the end
#   $failed    0 until `fail WORDS` tells of a failure; end with `exit $failed`
#   skip WORDS, needs FILE   end here, as skipped
#   attempts N COMMAND...    until the command succeeds, N times at most: for what is measured against the clock, which
#                            other work on the machine may disturb; what is wrong misses every time
#   $first     what to put before a command that must not wait for other tests
set -u
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
KVSIM=$(realpath "${KVSIM:-./kvsim}")
shared=${KVSIM_SHARED:-../shared}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAIL: $*"; failed=1; }
skip() { echo "SKIP: $*"; exit 77; }
attempts() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { fail "$*: missed every time"; return 1; }
        echo "$*: once more"
    done
}
first=
! nice -n -15 true 2>/dev/null || first="nice -n -15"
needs() { [ -e "$1" ] || skip "$1 is absent"; }
