# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --quiet -o $T/a.h5
echo $?
ls $T
