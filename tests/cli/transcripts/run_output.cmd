# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml -o $T/a.h5 >/dev/null
echo $?
kvsim run tests/cli/small.yaml -o $T/a.h5 --progress plain
echo $?
kvsim run tests/cli/small.yaml -o $T/a.h5 --force >/dev/null
echo $?
ls $T
