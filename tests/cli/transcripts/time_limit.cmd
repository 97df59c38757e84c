# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --time-limit 2s -o $T/a.h5 >/dev/null
code=$?
h5dump -a /meta/status $T/a.h5 | grep -o "interrupted"
exit $code
