# Hosts: what they are made of, their power, their BMCs and their services.

hosts() {
    local number=0
    while [ -d "$LAB/hosts/kvm$((number += 1))" ]; do echo "kvm$number"; done
}

host_of() { [ -d "$LAB/hosts/${1:-none}" ] || die "there is no host '${1:-}': $(hosts | xargs)"; }

prepare_host() {
    local host=$1 folder=$LAB/hosts/$1 name
    mkdir -p "$folder"/{machine,control,root/opt/holdfast,root/var/lib/holdfast}
    cat /proc/sys/kernel/random/uuid > "$folder/uuid"
    prepare_etc "$host" "$folder/root/etc"
    prepare_hook "$folder/root/etc/libvirt/hooks/qemu.d"
    for name in ds1 ds2; do
        echo ok > "$folder/control/$name.mode"
        put_word "$folder/control/$name.mode" ok
    done
    # Each host has a name of its own for the program, so that it can be upgraded alone.
    ln "$LAB/holdfast" "$folder/root/opt/holdfast/holdfast"
    touch "$folder/control/agent.off"
}

# Of this machine's /etc only what programs need to run. Whatever it knows of VMs of its own stays out of the lab.
prepare_etc() {
    local host=$1 etc=$2 name number
    mkdir -p "$etc"/{holdfast,libvirt/hooks}
    for name in passwd group nsswitch.conf ld.so.{cache,conf,conf.d} alternatives ssl services protocols sasl2; do
        [ ! -e "/etc/$name" ] || cp -a "/etc/$name" "$etc/"
    done
    tr -d - < "$LAB/hosts/$host/uuid" > "$etc/machine-id"
    echo "$host" > "$etc/hostname"
    echo '127.0.0.1 localhost' > "$etc/hosts"
    for ((number = 1; number <= HOSTS; number++)); do
        echo "$(host_address "kvm$number") kvm$number" >> "$etc/hosts"
    done
    cat > "$etc/libvirt/libvirtd.conf" <<END
listen_tls = 0
listen_tcp = 1
listen_addr = "$(host_address "$host")"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
host_uuid = "$(cat "$LAB/hosts/$host/uuid")"
END
    cat > "$etc/libvirt/qemu.conf" <<'END'
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
END
}

# The hook of libvirt as packages install it, but for where the program is. Without an agent there is nobody to ask.
prepare_hook() {
    local hook=$PROJECT/hosts/libvirt/holdfast
    [ -e "$hook" ] && [ -n "$AGENT" ] || return 0
    mkdir -p "$1"
    sed 's|/usr/bin/holdfast|/opt/holdfast/holdfast|' "$hook" > "$1/holdfast"
    chmod +x "$1/holdfast"
}

# The machine outlives its host's boots: it is the board, with its BMC and its watchdog.
start_machine() {
    local host=$1 folder=$LAB/hosts/$1
    ip addr add "$(bmc_address "$host")/24" dev management
    setsid "$LAB/holdfast" machine --directory "$folder/machine" --uuid "$(cat "$folder/uuid")" \
        --bmc-listen "$(bmc_address "$host"):443" --power-delay "${BMC_DELAY_MS}ms" --system -- \
        "$PROJECT/tests/lab/power-on" "$LAB" "$BUILD" "$host" >> "$folder/machine.log" 2>&1 < /dev/null &
}

machine_is() { jq -er ".$2 // empty" "$LAB/hosts/$1/machine/machine.json" 2>/dev/null; }

redfish() {
    local host=$1 path=$2 password
    password=$(cat "$LAB/hosts/$host/machine/bmc-password")
    curl --silent --show-error --fail --insecure --max-time 5 --user "admin:$password" "${@:3}" \
        "https://$(bmc_address "$host")/redfish/v1/Systems/1$path"
}

press() { redfish "$1" /Actions/ComputerSystem.Reset --json "{\"ResetType\":\"$2\"}"; }

# Its first process as the lab numbers it, while it lives.
init_of() {
    local pid at
    read -r pid at 2>/dev/null < "$LAB/hosts/$1/init" && [ "$(started "$pid")" = "$at" ] && echo "$pid"
}

# Runs a command on a host.
on() {
    local pid
    pid=$(init_of "$1") || { echo "$1 is not running: scripts/lab boot $1" >&2; return 1; }
    nsenter --target "$pid" --mount --net --ipc --pid --uts env -i TERM="${TERM:-dumb}" HOME=/root LANG=C.UTF-8 \
        PATH=/opt/holdfast:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

libvirt_answers() { on "$1" timeout 2 virsh -q list; }

is_up() {
    init_of "$1" && { [ -e "$LAB/hosts/$1/control/libvirtd.off" ] || libvirt_answers "$1"; }
}

command_kill() {
    local group
    host_of "${1:-}"
    group=$(machine_is "$1" pgid) || die "$1 runs nothing"
    # The host's first process is in this group, and everything in its namespace goes with it.
    kill -KILL -- "-$group"
}

command_off() { host_of "${1:-}" && press "$1" ForceOff && wait_for "$1 to be off" 600 is_off "$1"; }
command_shutdown() { host_of "${1:-}" && press "$1" GracefulShutdown && wait_for "$1 to be off" 600 is_off "$1"; }
is_off() { [ "$(machine_is "$1" power)" = off ]; }

command_boot() {
    host_of "${1:-}"
    if [ "$(machine_is "$1" host)" = crashed ]; then
        press "$1" ForceOff
        wait_for "$1 to be off" 600 is_off "$1"
    fi
    press "$1" On
    wait_for "$1 to be up" 60 is_up "$1"
}

command_freeze() { host_of "${1:-}" && signal_all "$1" STOP; }
command_thaw() { host_of "${1:-}" && signal_all "$1" CONT; }

# Signals every process of a host. From within a namespace nothing reaches its first process, which does no work anyway.
signal_all() { on "$1" sh -c "kill -$2 -1"; }

command_libvirtd() { service libvirtd "$@"; }
command_agent() { service agent "$@"; }

service() {
    local name=$1 host=${2:-} what=${3:-} off
    host_of "$host"
    off=$LAB/hosts/$host/control/$name.off
    case $what in
        start)
            rm -f "$off"
            wait_for "$name to run on $host" 60 has_started "$host" "$name"
            ;;
        stop)
            touch "$off"
            signal_service "$host" "$name" TERM
            wait_for "$name to end on $host" 60 has_ended "$host" "$name"
            ;;
        kill) signal_service "$host" "$name" KILL ;;
        freeze) signal_service "$host" "$name" STOP ;;
        thaw) signal_service "$host" "$name" CONT ;;
        *) die "$name HOST stop|start|kill|freeze|thaw" ;;
    esac
}

signal_service() { on "$1" sh -c "[ ! -e /run/$2.pid ] || kill -$3 \$(cat /run/$2.pid)"; }
has_started() { if [ "$2" = libvirtd ]; then libvirt_answers "$1"; else on "$1" test -e "/run/$2.pid"; fi; }
has_ended() { on "$1" test ! -e "/run/$2.pid"; }

command_bmc() {
    local host=${1:-}
    host_of "$host"
    case ${2:-} in
        # What comes over the network is lost. The lab itself does without, or nobody could boot the host again.
        dead) nft add rule inet bmcs input iifname management ip daddr "$(bmc_address "$host")" drop ;;
        ok) bmc_is_ok "$host" ;;
        delay)
            [[ ${3:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || die 'bmc HOST delay SECONDS'
            redfish "$host" '' --request PATCH --json "$(delay_as_json "$3")" > /dev/null
            ;;
        *) die 'bmc HOST dead|ok|delay SECONDS' ;;
    esac
}

delay_as_json() {
    jq -nc --argjson seconds "$1" '{ Oem: { Holdfast: { PowerDelayMilliseconds: ($seconds * 1000 | round) } } }'
}

bmc_is_ok() {
    local handle
    for handle in $(nft -a list chain inet bmcs input | awk -v a="$(bmc_address "$1")" '$0 ~ a " " { print $NF }'); do
        nft delete rule inet bmcs input handle "$handle"
    done
}

command_heal() {
    local host
    heal_network
    heal_storage
    for host in $(hosts); do
        redfish "$host" '' --request PATCH --json "$(delay_as_json "$(cat "$LAB/control/bmc-delay")")" > /dev/null
    done
}

command_exec() {
    host_of "${1:-}"
    [ $# -gt 1 ] || die 'exec HOST COMMAND…'
    on "$@"
}

command_run() { exec "$@"; }

command_status() {
    local host
    printf '%-6s %-12s %-9s %5s %-8s %-8s %-5s %-5s %s\n' HOST POWER STATE BOOTS AGENT LIBVIRTD DS1 DS2 NETWORK
    for host in $(hosts); do
        printf '%-6s %-12s %-9s %5s %-8s %-8s %-5s %-5s %s\n' "$host" "$(machine_is "$host" power)" \
            "$(machine_is "$host" host)" "$(machine_is "$host" boots)" "$(service_state "$host" agent)" \
            "$(service_state "$host" libvirtd)" "$(fault_of "$host" ds1)" "$(fault_of "$host" ds2)" \
            "$([ -e "$LAB/control/isolated-$host" ] && echo isolated || echo ok)"
    done
    nft list chain bridge faults forward | grep drop || true
    nft list chain inet bmcs input | grep drop || true
    command_vm list
}

fault_of() { xargs 2>/dev/null < "$LAB/hosts/$1/control/$2.mode" || echo -; }

service_state() {
    if [ -e "$LAB/hosts/$1/control/$2.off" ]; then
        echo stopped
    elif init_of "$1" > /dev/null && on "$1" test -e "/run/$2.pid"; then
        echo runs
    else
        echo -
    fi
}
