# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --set workload.window.start=1h -o $T/a.h5
code=$?
ls $T
exit $code
