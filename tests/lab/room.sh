# The room that a lab is in: a PID namespace, with a mount and a network namespace, that ends as one.
#
# The script that sources this says in TOOL what it is called, in LAB which folder its lab has, and in LAB_VARIABLE what
# names another folder. It has the functions
#     parse_up        reads the options of `up`, and refuses those that make no sense
#     room_needs      refuses a machine on which there can be no such lab
#     room_furnish    makes, outside of the room, what the lab needs
#     command_raise   makes the lab, within the room
#     keep_logs       saves the logs of a lab that did not come up
# and for each other command that works within a lab a function command_NAME.

outside() {
    [ -z "${HOLDFAST_IN_LAB:-}" ] || die 'this is within a lab already: labs are made and ended from outside'
    [ "$(id -u)" -eq 0 ] || die 'run it as root: it makes namespaces, networks and mounts'
}

# Everything but `up` and `down` happens within the lab, where its processes have their own numbers.
inside() {
    declare -F "command_${1//-/_}" > /dev/null || die "there is no command '$1'; $TOOL --help lists them"
    if [ "${HOLDFAST_IN_LAB:-}" = "$LAB" ]; then
        "command_${1//-/_}" "${@:2}"
    else
        room_enter "$PROJECT/$TOOL" "$@"
    fi
}

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
    pid=$(room_pid) || die "no lab is up in $LAB: $TOOL up"
    exec nsenter --target "$pid" --mount --net --ipc --pid --uts \
        env HOLDFAST_IN_LAB="$LAB" "$LAB_VARIABLE=$LAB" "$@"
}

room_up() {
    local pid
    parse_up "$@"
    room_lock
    ! pid=$(room_pid) || die "a lab is up in $LAB already (process $pid): $TOOL down"
    room_is_possible
    room_clear
    trap 'room_give_up' EXIT
    room_furnish
    room_begin
    # Not by exec: what failed within is cleaned up here.
    (room_enter "$PROJECT/$TOOL" raise "$@") 9>&-
    trap - EXIT
}

room_give_up() {
    echo 'the lab did not come up, and is taken down again' >&2
    keep_logs
    room_end
    rm -f "$LAB.lock"
}

room_lock() {
    mkdir -p "$(dirname "$LAB")"
    exec 9>"$LAB.lock"
    flock --nonblock 9 || die "another $TOOL works on $LAB: wait for it"
}

room_is_possible() {
    case $LAB/ in /run/* | /proc/* | /sys/* | /dev/*) die "$LAB cannot be the folder of a lab: name another one" ;; esac
    [ ! -d "$LAB" ] || is_folder_of_lab || [ -z "$(ls -A "$LAB")" ] ||
        die "$LAB holds something else: name an empty folder in $LAB_VARIABLE"
    room_needs
    unshare --mount --net --ipc --pid --uts --fork mount -t proc proc /proc ||
        die 'the kernel makes no namespaces here: in a container, it must be a privileged one'
}

is_folder_of_lab() { grep -qsF "$TOOL" "$LAB/lab"; }

# Only a folder that a lab has made is deleted, and nothing that is mounted in it.
room_clear() {
    ! is_folder_of_lab || rm -rf --one-file-system "$LAB"
    mkdir -p "$LAB"
    echo "the folder of a lab of $TOOL, which deletes it" > "$LAB/lab"
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
    if ! is_folder_of_lab; then
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
