# VMs of the lab: made by each host's own virsh, as an operator would.

command_vm() {
    local what=${1:-}
    [ $# -eq 0 ] || shift
    case $what in
        add | define | remove | console | verify | list) "vm_$what" "$@" ;;
        *) die 'vm add|define|remove|console|verify|list' ;;
    esac
}

vm_of() { [ -e "$LAB/vms/${1:-none}.xml" ] || die "there is no VM '${1:-}' of the lab: $(vms | xargs)"; }

vms() { find "$LAB/vms" -name '*.xml' -printf '%f\n' | sed 's/\.xml$//' | sort; }

vm_add() {
    local name=${1:-} host='' kind=linux datastore=ds1 start=yes
    [[ $name =~ ^[a-z0-9][a-z0-9-]{0,40}$ ]] || die "vm add NAME --on HOST: a name of letters, digits and '-'"
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --on) host=${2:-}; shift ;;
            --ds) datastore=${2:-}; shift ;;
            --linux) kind=linux ;;
            --bios) kind=bios ;;
            --no-start) start= ;;
            *) die "vm add knows no option '$1'" ;;
        esac
        shift
    done
    host_of "$host"
    datastore_of "$datastore"
    [ ! -e "$LAB/vms/$name.xml" ] || die "there is a VM '$name' already"
    make_disk "$LAB/shared/$datastore/$name.raw"
    describe_vm "$name" "$kind" "/srv/$datastore/$name.raw" "$(next_number)" > "$LAB/vms/$name.xml"
    vm_define "$name" --on "$host"
    [ -z "$start" ] || on "$host" virsh -q start "$name" > /dev/null
}

vm_define() {
    vm_of "${1:-}"
    [ "${2:-}" = --on ] || die 'vm define NAME --on HOST'
    host_of "${3:-}"
    on "$3" virsh -q define /dev/stdin < "$LAB/vms/$1.xml" > /dev/null
}

# Numbers are not given twice, as addresses come of them.
next_number() {
    local number
    exec 8> "$LAB/control/vm-number.lock"
    flock 8
    number=$(($(cat "$LAB/control/vm-number" 2>/dev/null || echo 0) + 1))
    echo "$number" | tee "$LAB/control/vm-number"
    exec 8>&-
}

# The header of tests/lab/guest/disk.h, and 32 MiB of nothing.
make_disk() {
    printf 'holdfast lab disk 1\n' > "$1"
    truncate -s $((33 * 1024 * 1024)) "$1"
}

describe_vm() {
    local name=$1 kind=$2 disk=$3 number=$4 memory=8 boot='' devices='' address
    if [ "$kind" = linux ]; then
        memory=96
        address=$((1 + number / 250)).$((1 + number % 250))
        boot="<kernel>${disk%/*}/guest/vmlinuz</kernel><initrd>${disk%/*}/guest/initrd.img</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 lab.write=150 lab.address=10.78.$address/16</cmdline>"
        devices="<interface type='bridge'>
      <mac address='$(printf '52:54:00:77:%02x:%02x' $((number / 256)) $((number % 256)))'/>
      <source bridge='vmbr0'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    fi
    cat <<END
<domain type='qemu'>
  <name>$name</name>
  <uuid>$(cat /proc/sys/kernel/random/uuid)</uuid>
  <memory unit='MiB'>$memory</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    $boot
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>8</tb-cache></tcg></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='$disk'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    $devices
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='/srv/serial/$name.log' append='on'/></serial>
  </devices>
</domain>
END
}

vm_remove() {
    local host
    vm_of "${1:-}"
    for host in $(hosts); do
        init_of "$host" > /dev/null || continue
        on "$host" virsh -q destroy "$1" > /dev/null 2>&1 || true
        on "$host" virsh -q undefine "$1" > /dev/null 2>&1 || true
    done
    rm -f "$LAB/vms/$1.xml" "$LAB/shared"/ds?/"$1.raw" "$LAB/serial/$1.log"
}

vm_console() { vm_of "${1:-}" && cat "$LAB/serial/$1.log"; }

vm_verify() {
    local name found status=0
    [ $# -gt 0 ] || mapfile -t VMS < <(vms)
    for name in "${@:-${VMS[@]}}"; do
        vm_of "$name"
        found=$("$BUILD/examine" "$LAB/shared"/ds?/"$name.raw") || status=1
        printf '{"vm":"%s","disk":%s}\n' "$name" "${found:-null}"
    done
    return "$status"
}

vm_list() {
    local host
    for host in $(hosts); do
        init_of "$host" > /dev/null || continue
        on "$host" timeout 5 virsh -q list --all |
            awk -v host="$host" '{ name = $2; $1 = $2 = ""; print host, name $0 }' || true
    done
}
