# The peer on the hosts of a lab: corosync, Pacemaker with its VirtualDomain, and fence_redfish for the same BMCs, all of
# them Debian's packages. What is set otherwise than they come with is set in the peer's favour, and says why.

PEER_PACKAGES=(pacemaker pacemaker-cli-utils corosync resource-agents fence-agents)
PEER_SERVICES=(corosync pacemaker logd)

# Debian has services start with the machine. What is installed here is for the lab, not for the machine.
peer_packages() {
    local installed service new=()
    installed=$(dpkg-query -W -f '${Status}\n' "${PEER_PACKAGES[@]}" 2>/dev/null | grep -c ' installed' || true)
    [ "$installed" -lt ${#PEER_PACKAGES[@]} ] || return 0
    for service in "${PEER_SERVICES[@]}"; do
        systemctl is-enabled --quiet "$service" 2>/dev/null || new+=("$service")
    done
    install_missing "${PEER_PACKAGES[@]}" >&2
    systemctl disable --quiet "${new[@]}" 2>/dev/null || true
}

peer_version() { dpkg-query -W -f '${Version}' "$1" | sed 's/.*://; s/-.*//'; }

# A cluster of all hosts with the VM `web`; how soon a host is taken for lost is `default` or a token in milliseconds.
peer_up() {
    local host
    scripts/lab vm add web --on kvm1 --bios --no-start
    # Where VirtualDomain starts a VM it brings the definition along, from a file that all hosts have.
    scripts/lab exec kvm1 virsh -q undefine web > /dev/null
    cp "$HOLDFAST_LAB/vms/web.xml" "$HOLDFAST_LAB/shared/ds1/web.xml"
    for host in "${HOSTS[@]}"; do
        # A host of the lab has nothing of what packages make outside /usr.
        scripts/lab exec "$host" install -d /etc/corosync /var/lib/corosync /var/log/corosync
        scripts/lab exec "$host" install -d -o hacluster -g haclient -m 750 \
            /var/lib/pacemaker/{blackbox,cib,cores,pengine} /var/log/pacemaker
        corosync_conf "$1" | scripts/lab exec "$host" tee /etc/corosync/corosync.conf > /dev/null
        peer_begin "$host"
    done
    wait_for 'Pacemaker to have a cluster' 120 peer_rests
    peer_configure
    wait_for 'Pacemaker to run everything' 120 peer_runs_all
}

# What systemd does at each boot.
peer_begin() {
    scripts/lab exec "$1" sh -c '{ corosync && exec setsid pacemakerd; } > /var/log/peer.log 2>&1 < /dev/null &'
}

# By default corosync waits 3000 ms for its token, and 650 ms more for each host over two; then 1.2 times as long again,
# until all that are left agree. Where the token is given, nothing is added to it. Encryption would only cost time.
corosync_conf() {
    local host
    cat <<END
totem {
  version: 2
  cluster_name: peer
  crypto_cipher: none
  crypto_hash: none
$([ "$1" = default ] || printf '  token: %s\n  token_coefficient: 0\n' "$1")
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
}
nodelist {
$(for host in "${HOSTS[@]}"; do
    printf '  node {\n    name: %s\n    nodeid: %s\n    ring0_addr: %s\n  }\n' \
        "$host" "$(host_number "$host")" "$(host_address "$host")"
done)
}
END
}

# stonith-action: it must see the host off, and need not wait until it has booted, as by default.
# load-threshold: it does less at once where the load is high, but here the load is that of all hosts together.
# resource-stickiness: the VM stays where it was started, and does not go back by itself.
peer_configure() {
    scripts/lab exec kvm1 crm_attribute --type crm_config --name stonith-action --update off
    scripts/lab exec kvm1 crm_attribute --type crm_config --name load-threshold --update 10000%
    scripts/lab exec kvm1 crm_attribute --type rsc_defaults --name resource-stickiness --update 100
    peer_resources | scripts/lab exec kvm1 cibadmin --replace --scope resources --xml-pipe
    peer_constraints | scripts/lab exec kvm1 cibadmin --replace --scope constraints --xml-pipe
}

# The system is named, so that the fence agent need not look for it, and its host, so that no device is asked whom it
# fences. VirtualDomain is told the hypervisor, and reckons no use of processors and memory, which would take it longer;
# and it ends the VM by force where it is moved between rounds, for nothing in it would heed a button.
peer_resources() {
    local host
    echo '<resources>'
    for host in "${HOSTS[@]}"; do
        primitive "fence-$host" 'class="stonith" type="fence_redfish"' "ip=$(bmc_address "$host")" username=admin \
            "password=$(cat "$HOLDFAST_LAB/hosts/$host/machine/bmc-password")" ssl_insecure=1 \
            systems_uri=/redfish/v1/Systems/1 "pcmk_host_list=$host"
    done
    primitive web 'class="ocf" provider="heartbeat" type="VirtualDomain"' config=/srv/ds1/web.xml \
        hypervisor=qemu:///system force_stop=true autoset_utilization_cpu=false \
        autoset_utilization_host_memory=false autoset_utilization_hv_memory=false
    echo '</resources>'
}

# ID KIND NAME=VALUE…
primitive() {
    local id=$1 pair
    echo "<primitive id=\"$id\" $2><instance_attributes id=\"$id-attributes\">"
    for pair in "${@:3}"; do
        echo "<nvpair id=\"$id-${pair%%=*}\" name=\"${pair%%=*}\" value=\"${pair#*=}\"/>"
    done
    echo "</instance_attributes><operations>"
    # As VirtualDomain itself advises.
    [ "$id" != web ] || echo '<op id="web-monitor" name="monitor" interval="10s" timeout="30s"/>
        <op id="web-start" name="start" interval="0" timeout="90s"/>
        <op id="web-stop" name="stop" interval="0" timeout="90s"/>'
    echo '</operations></primitive>'
}

# No host is fenced from itself.
peer_constraints() {
    local host
    echo '<constraints>'
    for host in "${HOSTS[@]}"; do
        echo "<rsc_location id=\"not-$host\" rsc=\"fence-$host\" node=\"$host\" score=\"-INFINITY\"/>"
    done
    echo '</constraints>'
}

# Kills the host of the VM and sets TOOK, then brings the host back. As with Holdfast, it is not the host of the one that
# decides.
peer_kill_one() {
    local victim controller
    victim=$(peer_host)
    controller=$(peer_controller)
    if [ "$victim" = "$controller" ]; then
        victim=$(others "$controller" | tail -n 1)
        peer_move "$victim"
    fi
    kill_and_time "$victim" 1
    scripts/lab boot "$victim" > /dev/null
    peer_begin "$victim"
    wait_for 'Pacemaker to run everything' 120 peer_runs_all
}

peer_host() {
    local host
    for host in "${HOSTS[@]}"; do
        ! running_on "$host" | grep -qxF web || echo "$host"
    done
}

peer_controller() { peer crmadmin --dc_lookup | awk '{ print $NF }'; }

peer_move() {
    peer crm_resource --move --resource web --node "$1" > /dev/null
    wait_for "the VM to run on $1" 120 peer_has_moved "$1"
    # Or else it would go back there.
    peer crm_resource --clear --resource web > /dev/null
    wait_for 'Pacemaker to run everything' 120 peer_runs_all
}

peer_has_moved() { [ "$(peer_host)" = "$1" ] && peer_runs_all; }

# All resources run, and nothing is to be done.
peer_runs_all() {
    [ "$(peer crm_mon -1 --output-as=xml | grep -c '<resource .*role="Started"')" -eq $((${#HOSTS[@]} + 1)) ] &&
        peer_rests
}

# All hosts are members, nobody is being fenced, and nothing is to be done.
peer_rests() {
    local status
    status=$(peer crm_mon -1 --output-as=xml)
    [ "$(grep -c 'online="true".* pending="false" unclean="false"' <<< "$status")" -eq ${#HOSTS[@]} ] &&
        ! grep -q '<fence_event .*status="pending"' <<< "$status" &&
        peer crmadmin --status "$(peer_controller)" | grep -q S_IDLE
}

# Runs a command on the first host on which it succeeds, so that it need not be the one that was killed last.
peer() {
    local host
    for host in "${HOSTS[@]}"; do
        scripts/lab exec "$host" "$@" < /dev/null 2> /dev/null && return
    done
    return 1
}
