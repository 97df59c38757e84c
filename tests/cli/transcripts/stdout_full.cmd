# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --progress none -o $T/a.h5 >/dev/full
echo $? >&2
ls $T >&2
kvsim help >/dev/full
