#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real S3 server of one's own: Ceph with one monitor, one OSD that keeps objects in memory, and one RADOS Gateway.
#   calib/testbed/rgw.sh up FOLDER       starts it; prints S3_ENDPOINT, S3_KEY, S3_SECRET, also in FOLDER/s3.env
#   calib/testbed/rgw.sh down FOLDER     stops what `up` started there, by the recorded processes, and removes FOLDER
# From the environment: ADDRESS (127.0.0.1) and PORT (7391) of the gateway, MON_PORT (7390), MEMORY_BYTES (4 GiB).
# FOLDER must not exist before `up`. Needs the packages of `.ci/deps.sh storage`; exit code 77 without them.
# Start takes about 2 s. In a network namespace it uses the addresses of that namespace (ip netns exec).
set -euo pipefail
[ $# = 2 ] || { echo "usage: rgw.sh up|down FOLDER" >&2; exit 2; }
verb=$1 folder=$2
address=${ADDRESS:-127.0.0.1} port=${PORT:-7391} mon_port=${MON_PORT:-7390} memory=${MEMORY_BYTES:-4294967296}
PATH=$PATH:/usr/sbin:/sbin

# A process is known by its number and the instant it started, so that a number used again is never taken for it.
started_at() { [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
running() {
    local pid start
    read -r pid start 2>/dev/null <"$folder/$1.process" && [ "$(started_at "$pid")" = "$start" ]
}

launch() {   # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$folder/$name.out" 2>&1 </dev/null &
    echo "$! $(started_at $!)" >"$folder/$name.process"
    disown
}

send() {   # SIGNAL: to all that still run; fails when nothing does
    local name pid start sent=1
    for name in gateway osd mon; do
        running $name || continue
        read -r pid start <"$folder/$name.process"
        kill "-$1" "$pid" 2>/dev/null || true
        sent=0
    done
    return $sent
}

# Nothing in memory is worth an orderly end: a second for it, then no more patience.
down() {
    local tries=0
    if send TERM; then
        while sleep 0.05 && send 0 && [ $((tries += 1)) -lt 20 ]; do :; done
        while send KILL && [ $((tries += 1)) -lt 200 ]; do sleep 0.05; done
    fi
    # Only a folder that `up` has made.
    [ ! -e "$folder/ceph.conf" ] || rm -rf "$folder"
}

give_up() {
    echo "rgw.sh: $1" >&2
    tail -n 5 "$folder"/*.out >&2 2>/dev/null || true
    down
    exit 1
}

# Waits until a command succeeds, while a process lives.
await() {   # NAME SECONDS COMMAND...
    local name=$1 tries=$(($2 * 10))
    shift 2
    until "$@" >/dev/null 2>&1; do
        running "$name" || give_up "$name has ended by itself"
        [ $((tries -= 1)) -gt 0 ] || give_up "$name does not answer"
        sleep 0.1
    done
}

configure() {
    cat >"$folder/ceph.conf" <<CONF
[global]
fsid = $cluster
mon_host = [v1:127.0.0.1:$mon_port]
ms_bind_msgr2 = false
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
# With authentication "none" daemons may send a command before they have the map, and some starts fail.
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = $folder/keyring
mon_data = $folder/mon
osd_data = $folder/osd
run_dir = $folder
admin_socket = $folder/\$name.asok
crash_dir = $folder
log_to_file = false
log_to_stderr = true
# A dozen changes of the map at the start, each of which would wait up to a second.
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
mon_max_pg_per_osd = 500
osd_objectstore = memstore
memstore_device_bytes = $memory
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[client.rgw.bed]
# Ceph's default leaves Nagle's algorithm on: every small answer then waits 40 ms for a delayed acknowledgement.
rgw_frontends = beast endpoint=$address:$port tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_data = $folder/gateway
rgw_enable_usage_log = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_enable_quota_threads = false
rgw_run_sync_thread = false
rgw_dynamic_resharding = false
CONF
    ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph-authtool "$folder/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    ceph-authtool "$folder/keyring" --gen-key -n client.rgw.bed --cap mon 'allow rw' --cap osd 'allow rwx'
    monmaptool --create --fsid "$cluster" --addv a "[v1:127.0.0.1:$mon_port]" "$folder/monmap"
    ceph-mon -c "$folder/ceph.conf" --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
}

up() {
    local missing= program conf
    for program in ceph-mon ceph-osd radosgw radosgw-admin ceph ceph-authtool monmaptool curl; do
        command -v $program >/dev/null || missing="$missing $program"
    done
    [ -z "$missing" ] || { echo "SKIP: not installed:$missing (.ci/deps.sh storage)"; exit 77; }
    mkdir -m 700 "$folder"
    folder=$(cd "$folder" && pwd) conf=$folder/ceph.conf
    mkdir "$folder"/{mon,osd,gateway}
    cluster=$(cat /proc/sys/kernel/random/uuid)
    trap 'give_up "interrupted"' INT TERM
    configure >"$folder/configure.out" 2>&1 || give_up "the monitor's store cannot be made"

    launch mon ceph-mon -c "$conf" -f -i a
    await mon 60 timeout 20 ceph -c "$conf" --connect-timeout 15 mon stat
    osd_id=$(cat /proc/sys/kernel/random/uuid)
    await mon 60 timeout 20 ceph -c "$conf" osd new "$osd_id"
    ceph-osd -c "$conf" --mkfs -i 0 --osd-uuid "$osd_id" >>"$folder/configure.out" 2>&1 ||
        give_up "the OSD's store cannot be made"
    launch osd ceph-osd -c "$conf" -f -i 0
    osd_is_up() { timeout 20 ceph -c "$conf" osd stat | grep -q '1 up'; }
    await osd 60 osd_is_up
    launch gateway radosgw -c "$conf" -f -n client.rgw.bed
    await gateway 120 curl -s --max-time 2 -o "$folder/answer" "http://$address:$port/"

    # Keys of its own each time: nothing to leak, and a client that does not sign is found out.
    key=kv$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n') secret=$(od -An -N20 -tx1 /dev/urandom | tr -d ' \n')
    radosgw-admin -c "$conf" user create --uid bed --display-name bed --access-key "$key" --secret-key "$secret" \
        >"$folder/user.out" 2>&1 || give_up "no user can be made"
    printf 'S3_ENDPOINT=http://%s:%s\nS3_KEY=%s\nS3_SECRET=%s\n' "$address" "$port" "$key" "$secret" |
        tee "$folder/s3.env"
}

case $verb in
up | down) $verb ;;
*) echo "rgw.sh: no such verb: $verb" >&2; exit 2 ;;
esac
