# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that change the tree: copy_tree FOLDER copies it with its release objects, so that make there
# builds only what changed. `make_there` is make as a user would type it in the copy.
copy_tree() {
    mkdir -p "$1/build/release"
    for part in Makefile .ci sim models policies traces tests configs docs analysis calib *.md; do
        [ ! -e "$part" ] || cp -a "$part" "$1/"
    done
    (cd build/release 2>/dev/null && find . -name '*.[oda]' -o -name registry.inc | tar cf - -T -) |
        tar xf - -C "$1/build/release" 2>/dev/null
    [ ! -d build/cuda ] || cp -a build/cuda "$1/build/"
}
make_there() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u FLAVOUR -u B -u KVSIM_FULL make -s "$@"; }
