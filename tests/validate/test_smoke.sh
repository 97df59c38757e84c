#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One run of some cases of `make validate-storage`, with bars that noise does not reach; and the test bed leaves nothing
# behind, also when it is told to end in the middle.
set -u
cd "$(dirname "$0")/../.."
tests/validate/validate.sh --smoke
code=$?
[ $code = 0 ] || exit $code

left() { ls /run/netns 2>/dev/null | grep -c "^kvbed$1-"; }
tests/validate/validate.sh --smoke >"${TMPDIR:-/tmp}/validate.out" 2>&1 &
pid=$!
sleep 6
kill -TERM $pid
wait $pid
code=$?
[ $code = 130 ] || { echo "FAIL: told to end, it ended with code $code"; exit 1; }
[ "$(left $pid)" = 0 ] || { echo "FAIL: namespaces of the test bed are left"; exit 1; }
[ ! -e "${TMPDIR:-/tmp}/kvbed$pid" ] || { echo "FAIL: the folder of the test bed is left"; exit 1; }
echo "told to end, the test bed left nothing behind"
