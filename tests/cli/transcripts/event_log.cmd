# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --event-log $T/log --quiet
echo $?
head -3 $T/log
kvsim run tests/cli/small.yaml --event-log $T/log --quiet
echo $?
