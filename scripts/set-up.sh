# Sourced by the scripts beside it: installs what a fresh Debian lacks for a build, and finds Rust. The caller stands in
# the project's folder.

die() { printf '%s: %s\n' "$0" "$*" >&2; exit 2; }

set_up() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    command -v git >/dev/null || missing+=(git)
    command -v cargo >/dev/null || export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    command -v cargo >/dev/null || command -v curl >/dev/null || missing+=(curl)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    command -v cargo >/dev/null || install_rust
    check_rust
}

install_packages() {
    local as_root=()
    command -v apt-get >/dev/null || die "install these first: $*"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || die "run as root: apt-get install $*"
        as_root=(sudo -n)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# Debian 12's own Rust is too old, and it has no package of rustup.
install_rust() {
    echo 'Rust is missing: rustup installs it for this user'
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --no-modify-path --profile minimal --component rustfmt --component clippy ||
        die 'rustup cannot be had from here: install Rust by hand, see https://rustup.rs'
}

check_rust() {
    local needed have
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(rustc --version | awk '{ print $2 }')
    [ "$(printf '%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ] ||
        die "Rust $have is too old: install $needed or newer with rustup, see https://rustup.rs"
}
