# SPDX-License-Identifier: Apache-2.0
kvsim plot list
kvsim run tests/cli/small.yaml -q -o $T/a.h5
kvsim plot $T/a.h5 -o $T/a.svg
echo $?
python3 -c "import sys, xml.dom.minidom as m; print(m.parse(sys.argv[1]).documentElement.tagName)" $T/a.svg
kvsim plot $T/a.h5 pie
echo $?
