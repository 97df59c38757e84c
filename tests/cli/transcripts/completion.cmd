# SPDX-License-Identifier: Apache-2.0
source <(kvsim completion bash)
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _kvsim; echo "${COMPREPLY[*]}"; }
try kvsim ru
try kvsim trace i
try kvsim run --time
try kvsim trace info --he
try kvsim help exit
kvsim completion fish
