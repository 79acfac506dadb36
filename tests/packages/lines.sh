# What both tests of a static herd have in common: they run in a network of their own, and speak the protocol of lines.

skip() { echo "NOT TESTED HERE: $what: $1" >&2; exit 0; }
fail() { echo "$what: failed: $1" >&2; cat "$folder"/out "$folder"/data/*.log 2>/dev/null | tail -20 >&2; exit 1; }

# All that follows in a network with nothing but a loopback of its own, so that no port is taken.
in_own_network() { # arguments of the script
    [ -z "${IN_OWN_NETWORK:-}" ] || return 0
    for program in unshare ip timeout; do command -v $program >/dev/null || skip "no $program"; done
    local user=(--map-root-user)
    [ "$(id -u)" != 0 ] || user=()
    unshare "${user[@]}" --net true 2>/dev/null || skip "no network namespace can be made"
    IN_OWN_NETWORK=1 exec timeout 120 unshare "${user[@]}" --net bash -c 'ip link set lo up && exec "$@"' - "$0" "$@"
}

# The first line of the reply, within 10 s. Nobody listens yet is no failure.
said() { # line
    local reply
    for _ in $(seq 100); do
        if reply=$( (exec 3<>/dev/tcp/127.0.0.1/7700 && printf '%s\n' "$1" >&3 && IFS= read -r -t 5 line <&3 && echo "$line") 2>/dev/null); then
            echo "$reply"
            return
        fi
        sleep 0.1
    done
    return 1
}

# A report and two questions.
serves() {
    local reply
    reply=$(said 'IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997') || fail "no reply to IAMAT"
    case $reply in "AT Ada +"*" kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997") ;; *) fail "to IAMAT it said $reply" ;; esac
    reply=$(said 'WHATSAT kiwi.cs.ucla.edu 10 1') || fail "no reply to WHATSAT"
    case $reply in "AT Ada +"*) ;; *) fail "to WHATSAT it said $reply" ;; esac
    reply=$(said COUNT) || fail "no reply to COUNT"
    [ "$reply" = "COUNT 1" ] || fail "to COUNT it said $reply"
}
