# A lab and its cluster, from nothing to armed, by the same commands that an operator has.

parse_up() {
    HOSTS=3 PROFILE=lan BMC_DELAY_MS=0 FENCE=yes WATCHDOG=yes ARM=yes AGENT=yes PLATFORM=libvirt
    while [ $# -gt 0 ]; do
        case $1 in
            --hosts) HOSTS=${2:-}; shift ;;
            --profile) PROFILE=${2:-}; shift ;;
            --bmc-delay) BMC_DELAY=${2:-}; shift ;;
            --platform) PLATFORM=${2:-}; shift ;;
            --no-fence) FENCE= ;;
            --no-watchdog) WATCHDOG= ;;
            --no-arm) ARM= ;;
            --without-agent) AGENT= ;;
            *) die "up knows no option '$1'; scripts/lab --help lists them" ;;
        esac
        shift
    done
    [[ $HOSTS =~ ^[1-9][0-9]?$ ]] && [ "$HOSTS" -le 80 ] || die '--hosts takes a number up to 80'
    [[ $PROFILE = lan || $PROFILE = fast ]] || die '--profile is lan or fast'
    [[ $PLATFORM = libvirt || $PLATFORM = process || $PLATFORM = none ]] || die '--platform is libvirt, process or none'
    [[ ${BMC_DELAY:=0} =~ ^[0-9]+(\.[0-9]+)?$ ]] || die '--bmc-delay takes seconds'
    BMC_DELAY_MS=$(awk -v s="$BMC_DELAY" 'BEGIN { printf "%d", s * 1000 }')
}

room_needs() {
    # Sockets lie deep below it, and the kernel takes no longer path for one.
    [ ${#LAB} -le 70 ] || die "$LAB is too long a path for a lab: name a shorter one in HOLDFAST_LAB"
    [ -c /dev/fuse ] || modprobe fuse 2>/dev/null || true
    [ -c /dev/fuse ] || die 'there is no /dev/fuse: the datastores of a lab need FUSE in the kernel'
}

room_furnish() {
    lab_packages
    lab_build
    mkdir -p "$LAB/shared/ds1" "$LAB/shared/ds2" "$LAB/hosts" "$LAB/control" "$LAB/serial" "$LAB/vms"
    install -m 755 "$PROGRAM" "$LAB/holdfast"
}

keep_logs() {
    local folder logs=$BUILD/failed
    rm -rf "$logs"
    for folder in "$LAB"/hosts/*; do
        mkdir -p "$logs/${folder##*/}"
        cp "$folder"/*.log "$folder"/root/var/log/*.log "$logs/${folder##*/}/" 2>/dev/null || true
    done
    [ ! -d "$logs" ] || echo "its logs are in $logs" >&2
}

# Within the room: everything that `up` makes.
command_raise() {
    local host number
    parse_up "$@"
    echo "$BMC_DELAY" > "$LAB/control/bmc-delay"
    for host in ds1 ds2; do
        echo on > "$LAB/control/$host.locks"
        put_word "$LAB/control/$host.locks" on
        share_guest "$LAB/shared/$host/guest"
    done
    make_switches
    for ((number = 1; number <= HOSTS; number++)); do
        prepare_host "kvm$number"
        start_machine "kvm$number"
    done
    for host in $(hosts); do wait_for "$host to be up" 60 is_up "$host"; done
    [ -z "$AGENT" ] || raise_cluster
    command_status
}

# What guests boot from lies beside their disks, so that every host has it.
share_guest() {
    local name
    mkdir "$1"
    for name in vmlinuz initrd.img; do
        ln "$BUILD/$name" "$1/" 2>/dev/null || cp "$BUILD/$name" "$1/"
    done
}

raise_cluster() {
    local host token
    for host in $(hosts); do configure "$host" > "$LAB/hosts/$host/root/etc/holdfast/holdfast.toml"; done
    on kvm1 holdfast config check > /dev/null ||
        die 'the program does not know this configuration: try --platform process'
    on kvm1 holdfast init --cluster lab --profile "$PROFILE" > /dev/null
    start_agent kvm1
    wait_for 'a master' 30 has_master
    on kvm1 holdfast datastore format /srv/ds1 --name ds1 --register --capacity 128 > /dev/null
    on kvm1 holdfast datastore format /srv/ds2 --name ds2 --register --capacity 128 > /dev/null
    # The first agent is older than the datastores, and starts anew to find them.
    command_agent kvm1 stop
    start_agent kvm1
    wait_for 'a master again' 30 has_master
    for host in $(hosts | tail -n +2); do
        token=$(on kvm1 holdfast token create -o json | jq -r .token)
        on "$host" env HOLDFAST_TOKEN="$token" holdfast join "$(host_address kvm1):7771" > /dev/null
        start_agent "$host"
    done
    wait_for 'all hosts to be alive' 60 all_alive
    [ -z "$FENCE" ] || for host in $(hosts); do add_fence "$host"; done
    [ -z "$ARM" ] || on kvm1 holdfast arm > /dev/null
}

start_agent() { rm -f "$LAB/hosts/$1/control/agent.off"; }

has_master() { on kvm1 holdfast status -o json | jq -e '.master | strings'; }

all_alive() {
    local voters=$((HOSTS >= 3 ? 3 : 1))
    on kvm1 holdfast status -o json | jq -e ".hosts.good == $HOSTS and (.voters | length) == $voters"
}

configure() {
    local address
    address=$(host_address "$1")
    cat <<END
name = "$1"
uuid = "$(cat "$LAB/hosts/$1/uuid")"
state = "/var/lib/holdfast"
listen = ["$address:7770"]
api = "$address:7771"
END
    # More than this machine has: guests of a lab do next to nothing, and many of them may have to fit on one host.
    [ "$PLATFORM" = none ] || printf 'memory = "8GiB"\ncores = 80\nnetworks = ["vmbr0"]\n'
    case $PLATFORM in
        libvirt) printf '\n[platform]\nkind = "libvirt"\nmigration = "qemu+tcp://{host}/system"\n' ;;
        process) printf '\n[platform]\nkind = "process"\nrun = "/run/machine/run"\n' ;;
        none) ;;
    esac
    [ -z "$WATCHDOG" ] || printf '\n[watchdog]\nkind = "machine"\nsocket = "/run/machine/watchdog.sock"\n'
    printf '\n[[datastore]]\nname = "ds1"\npath = "/srv/ds1"\n\n[[datastore]]\nname = "ds2"\npath = "/srv/ds2"\n'
}

add_fence() {
    local bmc=$LAB/hosts/$1/machine
    # The agent that is asked reads no file of the lab's.
    install -m 600 "$bmc/bmc-password" "$LAB/hosts/kvm1/control/password"
    on kvm1 holdfast fence add "bmc-$1" --redfish "$(jq -r .address "$bmc/bmc.json")" --user admin \
        --password-file /run/lab/password --fingerprint "$(jq -r .fingerprint "$bmc/bmc.json")" > /dev/null
    rm "$LAB/hosts/kvm1/control/password"
    on kvm1 holdfast host fence "$1" "bmc-$1" > /dev/null
}
