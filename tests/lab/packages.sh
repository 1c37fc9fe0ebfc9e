# What a lab needs: packages of Debian, and what is built.

BUILD=${CARGO_TARGET_DIR:-$PROJECT/target}/lab
PACKAGES=(libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils nftables iproute2
    busybox-static cpio kmod gzip fuse3 libfuse3-dev pkg-config build-essential jq curl util-linux)

lab_packages() { install_missing "${PACKAGES[@]}"; }

install_missing() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    (install_and_start_nothing "${missing[@]}") || die "these packages cannot be installed: ${missing[*]}"
}

# Debian starts the services that it installs. This machine is not to become a hypervisor: the lab starts its own.
install_and_start_nothing() {
    local policy=/usr/sbin/policy-rc.d fitting=''
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
    apt-get update -q
    [[ " $* " != *' qemu-system-x86 '* ]] || fitting=$(qemu_utils_that_fits)
    DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends --allow-downgrades "$@" ${fitting:+"$fitting"}
}

# QEMU and its tools go together. If backports have brought newer tools, those of this QEMU take their place.
qemu_utils_that_fits() {
    local wanted have
    wanted=$(apt-cache policy qemu-system-x86 | awk '$1 == "Candidate:" { print $2 }')
    have=$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null || true)
    [ -z "$have" ] || [ "$have" = "$wanted" ] || echo "qemu-utils=$wanted"
}

lab_build() {
    PROGRAM=${HOLDFAST_PROGRAM:-}
    if [ -z "$PROGRAM" ]; then
        set_up
        cargo build --locked --release --quiet
        PROGRAM=${CARGO_TARGET_DIR:-$PROJECT/target}/release/holdfast
    fi
    [ -x "$PROGRAM" ] || die "there is no program at $PROGRAM: correct HOLDFAST_PROGRAM"
    mkdir -p "$BUILD"
    # Two labs that are made at once build in turn.
    exec 7> "$BUILD/lock"
    flock 7
    local source=$PROJECT/tests/lab
    if is_older faultfs "$source/faultfs.c"; then
        # shellcheck disable=SC2046 # these are words
        cc -O2 -Wall -D_FILE_OFFSET_BITS=64 $(pkg-config --cflags fuse3) "$source/faultfs.c" -o "$BUILD/faultfs" \
            $(pkg-config --libs fuse3)
    fi
    if is_older examine "$source/guest"; then
        cc -O2 -Wall "$source/guest/examine.c" -o "$BUILD/examine"
    fi
    if is_older vmlinuz "$source/guest"; then
        apt-cache show linux-image-cloud-amd64 > /dev/null 2>&1 || apt-get update -q
        "$source/guest/build" "$source/guest" "$BUILD"
    fi
    exec 7>&-
}

is_older() { [ ! -e "$BUILD/$1" ] || [ -n "$(find "$2" -newer "$BUILD/$1" -type f)" ]; }
