# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --progress none -o $T/a.h5 >&-
echo $?
h5dump -n $T/a.h5 | grep -c meta
kvsim help >&-
