# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --max-events 9 -o $T/a.h5 >/dev/null
code=$?
h5dump -a /meta/status $T/a.h5 | grep -o "interrupted"
exit $code
