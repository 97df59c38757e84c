# SPDX-License-Identifier: Apache-2.0
# /proc takes no files, not even from root.
kvsim run tests/cli/small.yaml -o /proc/a.h5 2>&1 | grep -c "cannot write"
exit ${PIPESTATUS[0]}
