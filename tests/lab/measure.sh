# What the measurements on the lab share: a lab of their own, a host that is killed, the moment at which its VMs are
# started elsewhere by the word of libvirt there, and what is said of the times.

HOSTS=(kvm1 kvm2 kvm3)

# It is gone when the measurement ends, however it ends.
lab_of_its_own() {
    [ "$(id -u)" -eq 0 ] || die 'run it as root: it makes a lab, see scripts/lab --help'
    FOLDER=$(mktemp -d)
    export HOLDFAST_LAB=$FOLDER/lab
    trap leave EXIT
}

leave() {
    scripts/lab down > /dev/null 2>&1 || true
    rm -rf "$FOLDER"
}

running_on() { scripts/lab exec "$1" virsh -q list --name; }

others() { local host; for host in "${HOSTS[@]}"; do [ "$host" = "$1" ] || echo "$host"; done; }

# Kills a host as by a failure of its power, and sets TOOK to the milliseconds until so many VMs were started on others:
# HOST COUNT [COMMAND…]. The command starts them where nothing else does.
kill_and_time() {
    local victim=$1 count=$2 killed
    shift 2
    listen "$victim"
    killed=$(milliseconds)
    scripts/lab kill "$victim"
    "$@"
    wait_for 'the VMs to be started elsewhere' 180 have_started_or_cannot "$count"
    have_started "$count" || die "a host went down that nobody had killed, besides $victim"
    TOOK=$(($(last_start) - killed))
    stop_listening
}

milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }

# libvirt on the survivors tells of each start, with the time. It has listened as soon as it has told its name.
listen() {
    local host
    LISTENERS=()
    for host in $(others "$1"); do
        setsid scripts/lab exec "$host" virsh 'hostname; event --event lifecycle --loop --timestamp' \
            > "$FOLDER/$host.events" 2>&1 < /dev/null &
        LISTENERS+=($!)
        disown
        wait_for "libvirt on $host to tell of starts" 30 test -s "$FOLDER/$host.events"
    done
}

stop_listening() {
    local listener
    for listener in "${LISTENERS[@]}"; do kill -- "-$listener" 2> /dev/null || true; done
    rm "$FOLDER"/*.events
}

starts() { cat "$FOLDER"/*.events | grep 'Started Booted'; }

have_started() { [ "$(starts | wc -l)" -ge "$1" ]; }

# With a host that dies its listener ends.
have_started_or_cannot() {
    local listener
    have_started "$1" && return
    for listener in "${LISTENERS[@]}"; do kill -0 "$listener" || return 0; done
    return 1
}

# In milliseconds since 1970.
last_start() { date -d "$(starts | awk '{ print $1 "T" $2 }' | sed 's/:$//' | sort | tail -n 1)" +%s%3N; }

is_off() { [ "$(jq -r .power "$HOLDFAST_LAB/hosts/$1/machine/machine.json")" = off ]; }

# What the cluster answers: by the first host that does, so that it need not be the one that was killed last.
ask() { wait_for "an answer to holdfast $*" 60 answer "$@" && cat "$FOLDER/answer"; }

answer() {
    local host
    for host in "${HOSTS[@]}"; do
        scripts/lab exec "$host" holdfast "$@" > "$FOLDER/answer" && return
    done
    return 1
}

# All hosts are back, and all VMs run: COUNT. One of which no host has said yet that it runs is not among them.
settled() { wait_for 'the cluster to come to rest' 180 at_rest "$1"; }

at_rest() {
    answer status -o json &&
        jq -e --argjson vms "$1" '.hosts.good == .hosts.all and .master != null
            and .vms.all == $vms and .vms.good == $vms' "$FOLDER/answer"
}

# The times as an array of JSON, with their median and the worst.
sum_up() {
    jq -nc '[$ARGS.positional[] | tonumber] | sort | length as $n
        | { median_ms: ((.[($n - 1) / 2 | floor] + .[$n / 2 | floor]) / 2), worst_ms: max, runs_ms: . }' --args "$@"
}
