# SPDX-License-Identifier: Apache-2.0
# How a shell test begins; source it: . "$(dirname "$0")/../support/shell.sh"
# It goes to the root of the repository and gives
#   $KVSIM     the program under test, as a full path
#   $shared    where test data lie that are not part of the repository
#   $work      an empty folder, removed at the end
#   $failed    0 until `fail WORDS` tells of a failure; end with `exit $failed`
#   skip WORDS, needs FILE   end here, as skipped
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
needs() { [ -e "$1" ] || skip "$1 is absent"; }
