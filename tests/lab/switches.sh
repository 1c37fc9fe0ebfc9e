# The lab's networks: a switch for management, with the BMCs on it, and one for the guests.
#
#     10.77.0.1  the lab itself    10.77.0.11, .12, …  kvm1, kvm2, …    10.77.0.101, .102, …  their BMCs
#     10.78.0.1  the lab itself    10.78.1.2, …        guests

host_number() { [[ $1 =~ ^kvm([1-9][0-9]?)$ ]] && echo "${BASH_REMATCH[1]}"; }
host_address() { echo "10.77.0.$((10 + $(host_number "$1")))"; }
bmc_address() { echo "10.77.0.$((100 + $(host_number "$1")))"; }

make_switches() {
    # With addresses of their own: else a bridge takes a port's, and another one when that host dies, and the others look
    # for the BMCs at the old one for half a minute.
    ip link add management address 52:54:02:77:ff:00 type bridge mcast_snooping 0
    ip link add guests address 52:54:02:77:ff:01 type bridge mcast_snooping 0
    ip link set management up
    ip link set guests up
    ip addr add 10.77.0.1/24 dev management
    ip addr add 10.78.0.1/16 dev guests
    clear_filters
}

clear_filters() {
    nft -f - <<'END'
table bridge faults
delete table bridge faults
table bridge faults {
    chain forward {
        type filter hook forward priority 0
    }
}
table inet bmcs
delete table inet bmcs
table inet bmcs {
    chain input {
        type filter hook input priority 0
    }
}
END
}

# Wires a host that boots: the other ends of its cables are in its own network, which dies with it.
plug_in() {
    local host=$1 network=$2 card
    ip link delete "m-$host" 2>/dev/null || true
    ip link delete "g-$host" 2>/dev/null || true
    # Network cards keep their addresses over a reboot, or else the others would look for the host at the old ones.
    card=52:54:02:77:$(printf %02x "$(host_number "$host")")
    ip link add "m-$host" type veth peer name eth0 address "$card:00" netns "$network"
    ip link add "g-$host" type veth peer name eth1 address "$card:01" netns "$network"
    ip link set "m-$host" master management
    ip link set "g-$host" master guests up
    [ -e "$LAB/control/isolated-$host" ] || ip link set "m-$host" up
}

drop() { nft add rule bridge faults forward iifname "m-$1" oifname "m-$2" "${@:3}" drop; }

command_cut() {
    host_of "${1:-}" && host_of "${2:-}"
    drop "$1" "$2"
    drop "$2" "$1"
}

command_loss() {
    host_of "${1:-}" && host_of "${2:-}"
    [[ ${3:-} =~ ^[1-9][0-9]?$|^100$ ]] || die 'loss A B PERCENT: a number from 1 to 100'
    if [ "$3" -eq 100 ]; then drop "$1" "$2"; else drop "$1" "$2" numgen random mod 100 '<' "$3"; fi
}

command_isolate() {
    host_of "${1:-}"
    touch "$LAB/control/isolated-$1"
    ip link set "m-$1" down 2>/dev/null || true
}

heal_network() {
    local mark
    clear_filters
    for mark in "$LAB"/control/isolated-*; do
        [ -e "$mark" ] || continue
        rm "$mark"
        ip link set "m-${mark##*/isolated-}" up 2>/dev/null || true
    done
}
