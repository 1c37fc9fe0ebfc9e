# The cloud of the lab, from nothing or from a seed: a copy of the database as the first `up` has filled it.

PACKAGES=(python3-nova python3-keystone python3-placement python3-glance python3-openstacksdk python3-pymysql
    mariadb-server rabbitmq-server uwsgi-core uwsgi-plugin-python3 curl procps iproute2 util-linux)

# Made of these; if one of them changes, there is another seed.
SEED_PACKAGES=(python3-nova python3-keystone python3-placement python3-glance mariadb-server)
SEED_FILES=(tests/nova/etc tests/nova/cloud.sh tests/nova/cloud.py)

parse_up() { [ $# -eq 0 ] || die "up takes no options, and was given '$1'; openstack/lab --help says more"; }

room_needs() {
    local have
    have=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
    [ "$have" -ge 2500 ] || die "the cloud takes 2 GB of memory, and this machine has $have MB left"
}

room_furnish() {
    install_missing "${PACKAGES[@]}"
    mkdir -p "$BUILD" "$LAB"/{bin,home,logs,sessions}
    cp -r tests/nova/etc "$LAB/etc"
    install -m 600 tests/nova/clouds.yaml "$LAB/clouds.yaml"
}

keep_logs() {
    rm -rf "$BUILD/failed"
    cp -r "$LAB/logs" "$BUILD/failed" 2> /dev/null || return 0
    echo "its logs are in $BUILD/failed" >&2
}

cloud_prepare() {
    [ $# -eq 0 ] || die "prepare takes no options, and was given '$1'"
    install_missing "${PACKAGES[@]}"
    [ ! -d "$(seed)" ] || return 0
    LAB=$BUILD/prepare
    room_up > /dev/null
    room_down > /dev/null
}

seed() {
    local key
    key=$({
        dpkg-query -W "${SEED_PACKAGES[@]}"
        find "${SEED_FILES[@]}" -type f | sort | xargs sha256sum
    } | sha256sum)
    echo "$BUILD/seed-${key:0:16}"
}

# Within the room: everything that `up` makes.
command_raise() {
    mkdir "$CLOUD"
    mount --bind "$LAB" "$CLOUD"
    write_programs
    write_keys
    configure_computes
    if restore_seed; then
        start_base
        forget_heartbeats
        start_apis
        start_nova
    else
        make_database
        start_base
        make_schemas
        start_apis
        ask_cloud fill-keystone
        start_nova
        fill_nova
        save_seed
    fi
    ask_cloud await-computes "${COMPUTES[@]}"
    command_status
    cat <<END

The cloud serves. Its clouds.yaml is $LAB/clouds.yaml, and its addresses are seen from within:
    openstack/lab exec curl http://127.0.0.1:8774/
END
}

# Clouds that are made at once have one seed, and take turns with it.
lock_seed() { exec 7> "$BUILD/lock" && flock 7; }
unlock_seed() { exec 7>&-; }

restore_seed() {
    local seed
    seed=$(seed)
    lock_seed
    [ ! -d "$seed" ] || cp -a "$seed/database" "$seed/images" "$CLOUD/" || die "the seed cannot be copied: delete $seed"
    unlock_seed
    [ -d "$CLOUD/database" ]
}

# A database is copied when it is shut. Nova bears that it is away for a moment.
save_seed() {
    local seed
    seed=$(seed)
    service_signal mariadb TERM
    wait_for 'mariadb to end' 60 service_is_gone mariadb
    lock_seed
    rm -rf "$BUILD"/seed*
    mkdir "$BUILD/seed"
    cp -a "$CLOUD/database" "$CLOUD/images" "$BUILD/seed/"
    mv "$BUILD/seed" "$seed"
    unlock_seed
    start_service mariadb
    wait_for mariadb 60 listens 3306
}

# Debian has these programs in packages that configure and start services, beside which there is only this in them.
write_programs() {
    local name
    for name in nova-{api,conductor,scheduler,compute,manage} glance-{api,manage}; do
        printf '#!/usr/bin/python3\nimport sys\nfrom %s.cmd.%s import main\nsys.exit(main())\n' \
            "${name%-*}" "${name#*-}" > "$CLOUD/bin/$name"
        chmod +x "$CLOUD/bin/$name"
    done
}

# By which keystone signs its tokens.
write_keys() {
    local folder key
    for folder in fernet credential; do
        mkdir -p -m 700 "$CLOUD/keys/$folder"
        for key in 0 1; do
            head -c 32 /dev/urandom | base64 | tr '+/' '-_' > "$CLOUD/keys/$folder/$key"
        done
    done
}

configure_computes() {
    local name
    for name in "${COMPUTES[@]}"; do
        printf '[DEFAULT]\nhost = %s\nstate_path = %s\n' "$name" "$CLOUD/computes/$name" > "$CLOUD/etc/nova/$name.conf"
        mkdir -p "$CLOUD/computes/$name"
    done
}

make_database() {
    mkdir -p "$CLOUD/database" "$CLOUD/images"
    attempt database mariadb-install-db "--defaults-file=$CLOUD/etc/mariadb.cnf" \
        --auth-root-authentication-method=normal --skip-test-db
}

start_base() {
    start_service rabbitmq
    start_service mariadb
    wait_for mariadb 60 listens 3306
}

sql() { mariadb --no-defaults --socket="$CLOUD/database.sock" --user=root; }

# The seed is of computes that were alive when it was made. Of these nobody has heard yet.
forget_heartbeats() {
    sql <<< "UPDATE nova.services SET created_at = '2000-01-01', updated_at = NULL, last_seen_up = NULL"
}

make_schemas() {
    local name pids=() pid
    for name in keystone placement glance nova_api nova nova_cell0; do echo "CREATE DATABASE $name;"; done | sql
    sql <<< "GRANT ALL ON *.* TO lab@'%' IDENTIFIED BY 'lab'"
    attempt keystone keystone_schema & pids+=($!)
    attempt nova nova_schema & pids+=($!)
    attempt others other_schemas & pids+=($!)
    for pid in "${pids[@]}"; do wait "$pid"; done
}

keystone_schema() {
    local manage=(keystone-manage --config-file "$CLOUD/etc/keystone/keystone.conf") url=http://127.0.0.1:5000/v3
    "${manage[@]}" db_sync &&
        "${manage[@]}" bootstrap --bootstrap-password lab --bootstrap-region-id RegionOne \
            --bootstrap-public-url "$url" --bootstrap-internal-url "$url" --bootstrap-admin-url "$url"
}

nova_schema() {
    nova_manage api_db sync &&
        nova_manage cell_v2 map_cell0 \
            --database_connection 'mysql+pymysql://lab:lab@127.0.0.1/nova_cell0?charset=utf8' &&
        nova_manage db sync &&
        nova_manage cell_v2 create_cell --name cell1
}

nova_manage() { "$CLOUD/bin/nova-manage" --config-file "$CLOUD/etc/nova/nova.conf" "$@"; }

other_schemas() {
    placement-manage --config-file "$CLOUD/etc/placement/placement.conf" db sync &&
        "$CLOUD/bin/glance-manage" --config-file "$CLOUD/etc/glance/glance-api.conf" db_sync
}

# Runs a command, and shows what it said if it fails: NAME COMMAND… A function run by it must chain its steps by &&.
attempt() {
    local log=$CLOUD/logs/make-$1.log
    "${@:2}" > "$log" 2>&1 && return
    tail -n 20 "$log" >&2
    die "the database cannot be made: $1 failed"
}

start_apis() {
    local name
    for name in "${APIS[@]}"; do start_service "$name"; done
    wait_for keystone 120 answers 5000
}

# Not before keystone knows the services, and the broker listens: a conductor that is refused does not try again.
start_nova() {
    local name
    wait_for rabbitmq 120 listens 5672
    for name in "${NOVA[@]}"; do start_service "$name"; done
    wait_for nova-api 120 answers 8774
    wait_for glance 120 answers 9292
    wait_for placement 120 answers 8778
}

# What Nova and glance need so that servers can boot.
fill_nova() {
    ask_cloud fill-nova
    ask_cloud await-services "${COMPUTES[@]}"
    attempt hosts nova_manage cell_v2 discover_hosts
}

# What `exec` runs is the administrator of the cloud, and may be asked from where the lab is not.
command_exec() {
    [ $# -gt 0 ] || die 'exec COMMAND…'
    export OS_CLIENT_CONFIG_FILE="$LAB/clouds.yaml" OS_CLOUD=admin
    exec "$@"
}

ask_cloud() { (command_exec /usr/bin/python3 tests/nova/cloud.py "$@"); }

command_servers() {
    [[ ${1:-} =~ ^[1-9][0-9]{0,3}$ && ${2:-} = --on ]] || die 'servers N --on COMPUTE: a number from 1 to 9999'
    [[ " ${COMPUTES[*]} " = *" ${3:-none} "* ]] || die "there is no compute '${3:-}': ${COMPUTES[*]}"
    ask_cloud servers "$1" "$3"
}
