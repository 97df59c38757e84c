#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing: for building (.ci/deps.sh build), also for testing (.ci/deps.sh check),
# or also for a real object store and network of one's own (.ci/deps.sh storage; 270 MB, and no daemon is started). As
# root, or through sudo; elsewhere it prints the command and stops.
set -eu
build="gcc libc6-dev make pkg-config libgsl-dev libyaml-dev zlib1g-dev libisal-dev libhdf5-dev libssl-dev"
check="libcmocka-dev libcurl4-openssl-dev libucx-dev iproute2 hdf5-tools python3 python3-h5py python3-pandas python3-xarray python3-h5netcdf python3-netcdf4"
storage="ceph-mon ceph-osd radosgw curl"
case ${1:-} in
build) wanted=$build ;;
check) wanted="$build $check" ;;
storage) wanted="$build $check $storage" ;;
*) echo "usage: .ci/deps.sh build|check|storage" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Not Debian: the build itself will tell what is missing.
    pkg-config --exists gsl yaml-0.1 zlib hdf5 libcrypto 2>/dev/null && command -v gcc >/dev/null && exit 0
    echo "kvsim: this is not Debian; please install what these Debian packages hold, then try again:" >&2
    echo "    $wanted" >&2
    exit 1
fi

missing=
for package in $wanted; do
    # Asking for the status also finds packages of a foreign architecture qualifier and ignores removed ones.
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo
else
    echo "kvsim: packages are missing and this user cannot install them. Please run, as root:" >&2
    echo "    apt-get update && $install" >&2
    exit 1
fi
echo "kvsim: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -q update
$as_root env DEBIAN_FRONTEND=noninteractive $install
