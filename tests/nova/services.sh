# The services of the lab's cloud: how each is started, ended and made to stand still.

# Where the lab's folder is seen from within, so that configuration and seed name the same paths in every lab.
CLOUD=/run/cloud

# In the order in which they start: a database and a broker, what serves over HTTP, Nova.
BASE=(mariadb rabbitmq)
APIS=(keystone placement glance neutron)
COMPUTES=(kvm1 kvm2 kvm3)
NOVA=(nova-conductor nova-scheduler nova-api "${COMPUTES[@]}")

# Nothing of the environment in which somebody calls the lab reaches its services.
ENVIRONMENT=(PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "HOME=$CLOUD/home")

service_of() {
    [[ " ${BASE[*]} ${APIS[*]} ${NOVA[*]} " = *" ${1:-none} "* ]] ||
        die "there is no service '${1:-}': ${BASE[*]} ${APIS[*]} ${NOVA[*]}"
}

# Leaves in COMMAND how a service is started.
service_command() {
    local nova=(--config-file "$CLOUD/etc/nova/nova.conf") uwsgi=(uwsgi --ini "$CLOUD/etc/uwsgi.ini")
    case $1 in
        mariadb) COMMAND=(mariadbd "--defaults-file=$CLOUD/etc/mariadb.cnf") ;;
        rabbitmq) COMMAND=(env "RABBITMQ_CONF_ENV_FILE=$CLOUD/etc/rabbitmq-env.conf"
            /usr/lib/rabbitmq/bin/rabbitmq-server) ;;
        keystone) COMMAND=(env "OS_KEYSTONE_CONFIG_DIR=$CLOUD/etc/keystone" OS_KEYSTONE_CONFIG_FILES=keystone.conf
            "${uwsgi[@]}" --http-socket 127.0.0.1:5000 --wsgi-file /usr/bin/keystone-wsgi-public) ;;
        placement) COMMAND=(env "OS_PLACEMENT_CONFIG_DIR=$CLOUD/etc/placement"
            "${uwsgi[@]}" --http-socket 127.0.0.1:8778 --wsgi-file /usr/bin/placement-api) ;;
        glance) COMMAND=("$CLOUD/bin/glance-api" --config-file "$CLOUD/etc/glance/glance-api.conf") ;;
        neutron) COMMAND=(/usr/bin/python3 "$PROJECT/tests/nova/neutron.py") ;;
        kvm*) COMMAND=("$CLOUD/bin/nova-compute" "${nova[@]}" --config-file "$CLOUD/etc/nova/$1.conf") ;;
        *) COMMAND=("$CLOUD/bin/$1" "${nova[@]}") ;;
    esac
}

# Each service is a session of its own, so that its workers end with it.
start_service() {
    service_command "$1"
    setsid env -i "${ENVIRONMENT[@]}" "${COMMAND[@]}" >> "$CLOUD/logs/$1.log" 2>&1 < /dev/null &
    echo $! > "$CLOUD/sessions/$1"
}

# The processes of a service, if there are any.
service_processes() { [ -e "$CLOUD/sessions/$1" ] && pgrep --session "$(cat "$CLOUD/sessions/$1")"; }

service_signal() { pkill "-$2" --session "$(cat "$CLOUD/sessions/$1")" || true; }

service_is_gone() { ! service_processes "$1"; }

service_runs() { service_of "${1:-}" && service_processes "$1" > /dev/null || die "$1 does not run"; }

command_kill() {
    service_runs "${1:-}"
    service_signal "$1" KILL
    wait_for "$1 to end" 10 service_is_gone "$1"
}

command_start() {
    service_of "${1:-}"
    service_is_gone "$1" > /dev/null || die "$1 runs already"
    start_service "$1"
}

command_freeze() { service_runs "${1:-}" && service_signal "$1" STOP; }
command_thaw() { service_runs "${1:-}" && service_signal "$1" CONT; }

command_status() {
    local name processes state
    printf '%-15s %-7s %s\n' SERVICE STATE PROCESSES
    for name in "${BASE[@]}" "${APIS[@]}" "${NOVA[@]}"; do
        processes=$(service_processes "$name" | xargs) || true
        state=runs
        [ -n "$processes" ] || state=ended
        [[ $(ps -o stat= -p "${processes%% *}" 2>/dev/null) != T* ]] || state=frozen
        printf '%-15s %-7s %s\n' "$name" "$state" "$processes"
    done
    ask_cloud computes
}

answers() { curl -s -o /dev/null --max-time 5 "http://127.0.0.1:$1/"; }
listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1"); }
