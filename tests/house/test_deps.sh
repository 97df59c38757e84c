#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# .ci/deps.sh against stand-ins for the package tools: what it installs, and what it says where it cannot.
. "$(dirname "$0")/../support/shell.sh"

tool() { mkdir -p "$work/$1"; printf '#!/bin/bash\n%s\n' "$3" >"$work/$1/$2"; chmod +x "$work/$1/$2"; }
for t in bash grep env cat; do mkdir -p "$work/base"; ln -s "$(command -v $t)" "$work/base/$t"; done
# Installed is what the file `installed` names.
tool debian dpkg-query "grep -qxF -- \"\${@: -1}\" '$work/installed' && echo installed"
tool debian apt-get "echo \"apt-get \$*\" >>'$work/calls'"
tool user id 'echo 1000'
tool root id 'echo 0'
tool sudo sudo "echo \"sudo \$*\" >>'$work/calls'; [ \"\$1\" = -n ] && exit; \"\$@\""
tool found pkg-config 'exit 0'
tool found gcc 'exit 0'
tool lacking pkg-config 'exit 1'
all='gcc libc6-dev make pkg-config libgsl-dev libyaml-dev zlib1g-dev libisal-dev libhdf5-dev libssl-dev'

# deps PATHS KIND: runs it with just these tools; $code and $out
deps() {
    local path=$work/base folder
    for folder in $1; do path=$work/$folder:$path; done
    rm -f "$work/calls"
    out=$(PATH=$path "$work/base/bash" .ci/deps.sh "$2" 2>&1 </dev/null)
    code=$?
    calls=$(cat "$work/calls" 2>/dev/null)
}

printf '%s\n' $all >"$work/installed"
deps "debian user" build
[ $code = 0 ] && [ -z "$calls$out" ] || fail "everything is there: $code '$out' '$calls'"

grep -v hdf5 "$work/installed" >"$work/less" && mv "$work/less" "$work/installed"
deps "debian root" build
[ $code = 0 ] && [ "$calls" = "apt-get -q update
apt-get install -y --no-install-recommends libhdf5-dev" ] || fail "as root: $code '$calls'"
deps "debian user" build
[ $code = 1 ] && [ -z "$calls" ] || fail "as a user: $code '$calls'"
[[ $out == *"    apt-get update && apt-get install -y --no-install-recommends libhdf5-dev"* ]] || fail "as a user: '$out'"
deps "debian user sudo" build
[ $code = 0 ] && [[ $calls == *"sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y"*" libhdf5-dev"* ]] ||
    fail "through sudo: $code '$calls'"
deps "debian root" check
[[ $calls == *libhdf5-dev*libcmocka-dev*python3-h5py* ]] || fail "for tests: '$calls'"
deps "debian root" storage
[[ $calls == *libcmocka-dev*ceph-mon*radosgw* ]] || fail "for a real object store: '$calls'"

deps found check
[ $code = 0 ] || fail "not Debian, all found: $code '$out'"
deps lacking build
[ $code = 1 ] && [[ $out == *libgsl-dev* ]] || fail "not Debian, libraries missing: $code '$out'"

[ $failed = 0 ] && echo "deps: nothing to do, root, user, sudo, other systems"
exit $failed
