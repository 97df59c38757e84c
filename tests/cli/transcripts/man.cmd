# SPDX-License-Identifier: Apache-2.0
kvsim man | head -3
# Every command and every flag of `run` is in it.
for word in run "trace info" "config show" version; do kvsim man | grep -c "^.SS \"$word "; done
kvsim man | grep -c "^\\\\fB.-.-time.-limit\\\\fR"
