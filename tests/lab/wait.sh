# How everything here waits: for something to be so, and not for long if it never is.

# Waits until a command succeeds, which it says when it did not: WHAT SECONDS COMMAND…
wait_for() {
    local what=$1 until=$((${EPOCHREALTIME/./} + $2 * 1000000)) said
    until said=$("${@:3}" 2>&1 > /dev/null); do
        [ "${EPOCHREALTIME/./}" -lt "$until" ] || die "waited $2 seconds in vain for $what${said:+: ${said##*$'\n'}}"
        sleep 0.05
    done
}
