# SPDX-License-Identifier: Apache-2.0
# Only diagnostics have any, and a file gets none unless it is asked for.
kvsim run tests/cli/small.yaml --set engine.max_num_seq=8 --color always 2>&1 | cat -v
kvsim run tests/cli/small.yaml --set engine.max_num_seq=8 2>&1 | cat -v | grep -c "\^\["
NO_COLOR=1 kvsim run tests/cli/small.yaml --set engine.max_num_seq=8 --color auto 2>&1 | head -1 | cat -v
