# The room that a lab is in: a PID namespace, with a mount and a network namespace, that ends as one.

# The process that the room lives and dies with, as this machine numbers it.
room_pid() {
    local pid started boot
    [ -e "$LAB/room" ] || return 1
    read -r pid started boot < "$LAB/room" || return 1
    # A number is given to another process sooner or later. With its start, in the same boot, it names this one.
    [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ "$started" = "$(started "$pid")" ] || return 1
    echo "$pid"
}

started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

room_enter() {
    local pid
    pid=$(room_pid) || die "no lab is up in $LAB: scripts/lab up"
    exec nsenter --target "$pid" --mount --net --ipc --pid --uts \
        env HOLDFAST_IN_LAB="$LAB" HOLDFAST_LAB="$LAB" "$@"
}

room_up() {
    local pid
    parse_up "$@"
    room_lock
    ! pid=$(room_pid) || die "a lab is up in $LAB already (process $pid): scripts/lab down"
    room_is_possible
    room_clear
    trap 'room_give_up' EXIT
    lab_packages
    lab_build
    mkdir -p "$LAB/shared/ds1" "$LAB/shared/ds2" "$LAB/hosts" "$LAB/control" "$LAB/serial" "$LAB/vms"
    install -m 755 "$PROGRAM" "$LAB/holdfast"
    room_begin
    # Not by exec: what failed within is cleaned up here.
    (room_enter "$PROJECT/scripts/lab" raise "$@") 9>&-
    trap - EXIT
}

room_give_up() {
    echo 'the lab did not come up, and is taken down again' >&2
    keep_logs
    room_end
    rm -f "$LAB.lock"
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

room_lock() {
    mkdir -p "$(dirname "$LAB")"
    exec 9>"$LAB.lock"
    flock --nonblock 9 || die "another scripts/lab works on $LAB: wait for it"
}

room_is_possible() {
    case $LAB/ in /run/* | /proc/* | /sys/* | /dev/*) die "$LAB cannot be the folder of a lab: name another one" ;; esac
    # Sockets lie deep below it, and the kernel takes no longer path for one.
    [ ${#LAB} -le 70 ] || die "$LAB is too long a path for a lab: name a shorter one in HOLDFAST_LAB"
    [ ! -d "$LAB" ] || [ -e "$LAB/lab" ] || [ -z "$(ls -A "$LAB")" ] ||
        die "$LAB holds something else: name an empty folder in HOLDFAST_LAB"
    [ -c /dev/fuse ] || modprobe fuse 2>/dev/null || true
    [ -c /dev/fuse ] || die 'there is no /dev/fuse: the datastores of a lab need FUSE in the kernel'
    unshare --mount --net --ipc --pid --uts --fork mount -t proc proc /proc ||
        die 'the kernel makes no namespaces here: in a container, it must be a privileged one'
}

# Only a folder that a lab has made is deleted, and nothing that is mounted in it.
room_clear() {
    [ ! -e "$LAB/lab" ] || rm -rf --one-file-system "$LAB"
    mkdir -p "$LAB"
    echo 'the folder of a lab of scripts/lab, which deletes it' > "$LAB/lab"
}

room_begin() {
    local outer pid=''
    setsid unshare --mount --net --ipc --pid --uts --fork --kill-child \
        "$PROJECT/tests/lab/room-init" "$LAB" > "$LAB/room.log" 2>&1 < /dev/null 9>&- &
    outer=$!
    until [ -n "$pid" ] && [ -e "/proc/$pid/root/run/room-is-ready" ]; do
        kill -0 "$outer" 2>/dev/null || die "the lab cannot begin: $(cat "$LAB/room.log")"
        sleep 0.01
        read -r pid < "/proc/$outer/task/$outer/children" || true
    done 2>/dev/null
    echo "$pid $(started "$pid") $(cat /proc/sys/kernel/random/boot_id)" > "$LAB/room"
}

room_down() {
    room_lock
    if [ ! -e "$LAB/lab" ]; then
        echo "there is no lab in $LAB"
    else
        room_end
        echo "nothing is left of the lab in $LAB"
    fi
    rm -f "$LAB.lock"
}

# The kernel ends everything in a PID namespace with its first process, which is gone only when all others are.
room_end() {
    local pid
    if pid=$(room_pid); then
        kill -KILL "$pid" 2>/dev/null || true
        while room_pid > /dev/null; do sleep 0.01; done
    fi
    rm -rf --one-file-system "$LAB"
}
