# The shared datastores, and their faults.

FAULTS='ok eio weio hang slow'

# A word that is read by others while it is written: each of them sees the old one or the new one.
put_word() { printf '%-15s\n' "$2" | dd of="$1" conv=notrunc status=none; }

datastore_of() { [ -d "$LAB/shared/${1:-none}" ] || die "there is no datastore '${1:-}': ds1 or ds2"; }

command_storage() {
    host_of "${1:-}"
    datastore_of "${2:-}"
    [[ " $FAULTS " = *" ${3:-none} "* ]] || die "storage HOST DS ok|eio|weio|hang|slow"
    put_word "$LAB/hosts/$1/control/$2.mode" "$3"
}

command_locks() {
    datastore_of "${1:-}"
    [[ ${2:-} = on || ${2:-} = off ]] || die 'locks DS on|off'
    put_word "$LAB/control/$1.locks" "$2"
}

heal_storage() {
    local word
    for word in "$LAB"/hosts/*/control/*.mode; do put_word "$word" ok; done
    for word in "$LAB"/control/*.locks; do put_word "$word" on; done
}
