#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One run of some cases of `make validate-storage`, with bars that noise does not reach; and the test bed leaves nothing
# behind when it is told to end in the middle.
. "$(dirname "$0")/../support/shell.sh"
export TMPDIR=$work
tests/validate/validate.sh --smoke
code=$?
[ $code = 0 ] || exit $code

tests/validate/validate.sh --smoke >"$work/out" 2>&1 &
pid=$!
sleep 5
kill -TERM $pid
wait $pid
code=$?
[ $code = 130 ] || { cat "$work/out"; fail "told to end, it ended with code $code"; }
! ls /run/netns | grep "^kvbed$pid-" || fail "a namespace of the test bed is left"
[ ! -e "$work/kvbed$pid" ] || fail "the folder of the test bed is left"
[ $failed = 0 ] && echo "told to end, the test bed left nothing behind"
exit $failed
