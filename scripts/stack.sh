#!/usr/bin/env bash
# stack.sh start DIR [--docker] [--buildkitd] [--registry] [--base SUITE,…] [--kubernetes]   private daemons below DIR; the first three by default
# stack.sh env DIR                                   prints the variables that name them
# stack.sh stop DIR                                  stops them and removes DIR
# stack.sh run [start's options] -- COMMAND…         COMMAND with a stack of its own, stopped afterwards
#
# Nothing is shared with daemons that already run: own sockets, own state, own bridge, and mounts that only the daemons see.
# Several stacks can run at once. --base bootstraps Debian images and pushes them as library/debian:SUITE (implies --registry). --kubernetes is an API
# without nodes: etcd and kube-apiserver on loopback.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

readonly READY_SECONDS=60 STOP_SECONDS=3
# Private ranges, one /24 per Docker Engine; the number is the bridge's, kmf0 = 10.213.0.0/24.
readonly BRIDGE_PREFIX=kmf BRIDGE_NET=10.213

usage() { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }

# spawn NAME COMMAND…: in a session and a mount namespace of its own, so that neither Ctrl-C nor a crash leaves anything behind.
spawn() {
    local name=$1
    shift
    setsid unshare --mount --propagation slave -- "$@" >"$DIR/$name.log" 2>&1 </dev/null &
    echo $! >"$DIR/$name.pid"
}

alive() { kill -0 "$1" 2>/dev/null; }

wait_until_ready() { # NAME COMMAND…
    local name=$1 pid waited=0
    shift
    pid=$(cat "$DIR/$name.pid")
    until "$@" >/dev/null 2>&1; do
        alive "$pid" || give_up "$name ended while it started"
        [ $waited -lt $((READY_SECONDS * 10)) ] || give_up "$name did not come up within $READY_SECONDS s"
        sleep 0.1
        waited=$((waited + 1))
    done
}

give_up() {
    printf 'last lines of the logs in %s\n' "$DIR" >&2
    tail -n 15 "$DIR"/*.log >&2
    die "$1"
}

start_registry() {
    cat >"$DIR/registry.yml" <<YAML
version: 0.1
log: { level: info, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: $DIR/registry }
  delete: { enabled: true }
http: { addr: "127.0.0.1:0" }
YAML
    spawn registry docker-registry serve "$DIR/registry.yml"
    wait_until_ready registry registry_address
    REGISTRY=$(registry_address)
    wait_until_ready registry curl -fsS "http://$REGISTRY/v2/"
}

# The kernel picks a free port; the registry says which.
registry_address() { grep -om1 'listening on 127\.0\.0\.1:[0-9]*' "$DIR/registry.log" | sed 's/.* //' | grep .; }

start_docker() {
    local bridge
    bridge=$(add_bridge)
    echo "$bridge" >"$DIR/bridge"
    echo '{}' >"$DIR/daemon.json"
    spawn docker dockerd --config-file "$DIR/daemon.json" --host "unix://$DIR/docker.sock" --group "$(id -gn)" \
        --data-root "$DIR/docker" --exec-root "$DIR/docker-exec" --pidfile "$DIR/dockerd.pid" \
        --bridge "$bridge" --mtu "$(uplink_mtu)" --shutdown-timeout 5
    wait_until_ready docker docker --host "unix://$DIR/docker.sock" version
}

# Creating a link is atomic, so two stacks never take the same network. Its address is set because a bridge without one takes
# the lowest of its ports': with each container that comes or goes, the others would lose their gateway for a while.
add_bridge() {
    local n
    for n in $(seq 0 255); do
        ip link add "$BRIDGE_PREFIX$n" address "$(printf '02:6b:6d:66:00:%02x' "$n")" type bridge 2>/dev/null || continue
        ip addr add "$BRIDGE_NET.$n.1/24" dev "$BRIDGE_PREFIX$n"
        ip link set "$BRIDGE_PREFIX$n" up
        echo "$BRIDGE_PREFIX$n"
        return
    done
    die "no bridge can be made" "a private Docker Engine needs root and the kernel's bridge driver"
}

# A bridge with larger packets than the way out takes loses them where no ICMP comes back.
uplink_mtu() {
    local device
    device=$(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -1)
    awk '{ print ($1 > 1500) ? 1500 : $1 }' "/sys/class/net/${device:-lo}/mtu"
}

# dockerd leaves its rules behind when it ends; they name the bridge.
remove_bridge() { # NAME
    local table rule
    for table in filter nat; do
        iptables-save -t "$table" | grep -- "^-A .*[io] $1 " | sed 's/^-A/-D/' | while read -r rule; do
            # shellcheck disable=SC2086  # words of a rule; dockerd's have no blanks inside
            iptables -t "$table" $rule || true
        done
    done
    ip link delete "$1" 2>/dev/null || true
}

start_buildkitd() {
    cat >"$DIR/buildkitd.toml" <<TOML
root = "$DIR/buildkit"
insecure-entitlements = ["network.host"]
[grpc]
  address = ["unix://$DIR/buildkitd.sock"]
[otel]
  socketPath = "$DIR/otel.sock"
[worker.oci]
  enabled = true
  networkMode = "host"
  gc = false
[worker.containerd]
  enabled = false
TOML
    if [ -n "$REGISTRY" ]; then
        printf '[registry."%s"]\n  http = true\n' "$REGISTRY" >>"$DIR/buildkitd.toml"
    fi
    spawn buildkitd buildkitd --config "$DIR/buildkitd.toml"
    wait_until_ready buildkitd grep 'running server on' "$DIR/buildkitd.log"
}

start_kubernetes() {
    local etcd peer api
    mkdir -p "$DIR/kubernetes"
    read -r etcd peer api < <(free_ports)
    spawn etcd etcd --name stack --data-dir "$DIR/etcd" --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
        --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "stack=http://127.0.0.1:$peer"
    make_certificates
    printf '%s,admin,admin,system:masters\n' "$(openssl rand -hex 16)" >"$DIR/kubernetes/tokens"
    wait_until_ready etcd curl -fsS "http://127.0.0.1:$etcd/health"
    spawn kube-apiserver kube-apiserver --etcd-servers "http://127.0.0.1:$etcd" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api" \
        --cert-dir "$DIR/kubernetes" --tls-cert-file "$DIR/kubernetes/server.crt" --tls-private-key-file "$DIR/kubernetes/server.key" \
        --token-auth-file "$DIR/kubernetes/tokens" --authorization-mode RBAC --allow-privileged=true --service-cluster-ip-range 10.96.0.0/24 \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$DIR/kubernetes/accounts.key" \
        --service-account-signing-key-file "$DIR/kubernetes/accounts.key" --endpoint-reconciler-type none
    write_kubeconfig "$api" >"$DIR/kubeconfig"
    wait_until_ready kube-apiserver curl -fsS --cacert "$DIR/kubernetes/ca.crt" "https://127.0.0.1:$api/readyz"
}

# Neither of the two says which port it took; nobody else is handed these in the next moment.
free_ports() {
    python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(it.getsockname()[1] for it in sockets))'
}

make_certificates() {
    (
        cd "$DIR/kubernetes"
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=stack-ca
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout server.key -out server.crt -subj /CN=kube-apiserver -CA ca.crt -CAkey ca.key \
            -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE
        openssl genrsa -out accounts.key 2048
    ) >"$DIR/certificates.log" 2>&1 || give_up "openssl could not make certificates"
}

write_kubeconfig() { # PORT
    cat <<YAML
apiVersion: v1
kind: Config
clusters: [{ name: stack, cluster: { server: "https://127.0.0.1:$1", certificate-authority: "$DIR/kubernetes/ca.crt" } }]
users: [{ name: admin, user: { token: "$(cut -d, -f1 "$DIR/kubernetes/tokens")" } }]
contexts: [{ name: stack, context: { cluster: stack, user: admin } }]
current-context: stack
YAML
}

push_bases() { # SUITE,…
    local suite layout
    for suite in ${1//,/ }; do
        layout=$("$HERE/base-image.sh" "$suite")
        skopeo copy --quiet --dest-tls-verify=false "oci:$layout:$suite" "docker://$REGISTRY/library/debian:$suite" >&2 ||
            give_up "debian:$suite could not be pushed"
    done
}

write_env() {
    [ ! -S "$DIR/docker.sock" ] || echo "KMODFORGE_TEST_DOCKER=unix://$DIR/docker.sock"
    [ ! -S "$DIR/buildkitd.sock" ] || echo "KMODFORGE_TEST_BUILDKIT=unix://$DIR/buildkitd.sock"
    [ -z "$REGISTRY" ] || echo "KMODFORGE_TEST_REGISTRY=$REGISTRY"
    [ ! -f "$DIR/kubeconfig" ] || echo "KMODFORGE_TEST_KUBECONFIG=$DIR/kubeconfig"
    echo "KMODFORGE_TEST_MIRRORS=$DIR/mirrors.yaml"
}

start() { # DIR OPTION…
    local docker='' buildkitd='' registry='' bases='' kubernetes=''
    DIR=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --docker) docker=yes ;;
        --buildkitd) buildkitd=yes ;;
        --registry) registry=yes ;;
        --kubernetes) kubernetes=yes ;;
        --base) bases=${2:?--base needs suites}; registry=yes; shift ;;
        *) usage ;;
        esac
        shift
    done
    [ -n "$docker$buildkitd$registry$kubernetes" ] || { docker=yes; buildkitd=yes; registry=yes; }

    need_root "starting private daemons"
    claim_dir
    trap 'stop "$DIR"' EXIT
    trap 'exit 130' INT TERM
    REGISTRY=''
    [ -z "$registry" ] || start_registry
    [ -z "$docker" ] || start_docker
    [ -z "$buildkitd" ] || start_buildkitd
    [ -z "$kubernetes" ] || start_kubernetes
    [ -z "$bases" ] || push_bases "$bases"
    "$HERE/mirrors.sh" "$REGISTRY" >"$DIR/mirrors.yaml"
    write_env >"$DIR/env"
    trap - EXIT INT TERM
}

claim_dir() {
    case $DIR in *[![:alnum:]/._-]*) die "\`$DIR\` has characters that socket names and configuration files do not take" ;; esac
    mkdir -p "$DIR"
    DIR=$(cd "$DIR" && pwd)
    [ ${#DIR} -le 80 ] || die "\`$DIR\` is too long for a socket below it"
    [ -z "$(ls -A "$DIR")" ] || die "$DIR is not empty" "if a stack runs there: $0 stop $DIR"
    : >"$DIR/.kmodforge-stack"
}

# A process id together with its start time is never taken by another process.
identity() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk -v pid="$1" '{ print pid ":" $20 }'; }

same_process() { [ "$(identity "${1%:*}")" = "$1" ]; }

# Every process below PID, deepest first: a daemon that has to be killed does not take its children along.
descendants() {
    local child
    # shellcheck disable=SC2013  # words, not lines
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        descendants "$child"
        identity "$child"
    done
}

# Asks, waits a little, kills. Docker 20.10 lingers 10 s after it has shut down; nothing of it is kept, so there is no need to wait.
stop_daemon() { # DIR NAME
    local pid family process waited=0
    pid=$(cat "$1/$2.pid" 2>/dev/null) || return 0
    grep -aqF "$1/" "/proc/$pid/cmdline" 2>/dev/null || return 0
    family="$(descendants "$pid") $(identity "$pid")"
    kill "$pid" 2>/dev/null || true
    while alive "$pid" && [ $waited -lt $((STOP_SECONDS * 10)) ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    for process in $family; do
        ! same_process "$process" || kill -9 "${process%:*}" 2>/dev/null || true
    done
}

stop() { # DIR
    local dir=$1 daemon
    [ -d "$dir" ] || return 0
    dir=$(cd "$dir" && pwd)
    [ -f "$dir/.kmodforge-stack" ] || die "$dir is no stack of ours"
    for daemon in buildkitd docker kube-apiserver etcd registry; do stop_daemon "$dir" "$daemon" & done
    wait
    [ ! -s "$dir/bridge" ] || remove_bridge "$(cat "$dir/bridge")"
    rm -rf "$dir" || { sleep 1; rm -rf "$dir"; }
}

run() { # OPTION… -- COMMAND…
    local options=() dir status=0
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ $# -gt 1 ] || usage
    shift
    dir=$(mktemp -d "${TMPDIR:-/tmp}/kmodforge.XXXXXX")
    (start "$dir" "${options[@]}") || exit 1
    trap 'stop "$dir"' EXIT
    trap 'exit 130' INT TERM
    set -a
    # shellcheck disable=SC1091  # written by start
    . "$dir/env"
    set +a
    "$@" || status=$?
    exit $status
}

[ $# -ge 1 ] || usage
VERB=$1
shift
case $VERB in
start) [ $# -ge 1 ] || usage; start "$@" ;;
stop) [ $# -eq 1 ] || usage; stop "$1" ;;
env) [ $# -eq 1 ] || usage; cat "$1/env" ;;
run) run "$@" ;;
*) usage ;;
esac
