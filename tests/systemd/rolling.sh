#!/usr/bin/env bash
# Runs inside, as a service of systemd: five servers of one herd, with clients at both doors of each, HTTP with TLS, restarted one after
# the other, round after round. What it finds goes to /out.
set -uo pipefail
exec >/out/log 2>&1
. /tests/shown.sh
check() { # what, command...
    if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  it is ${1@Q}, and should be ${2@Q}"; false; }; }

systemd-sysusers /etc/sysusers.d/herd.conf
chgrp herd /etc/herd/key.pem
names=(Ada Bea Cy Dot Eve)
for name in "${names[@]}"; do systemctl start --no-block herd@$name; done
for name in "${names[@]}"; do timeout 60 systemctl start herd@$name; done
loads=()
for number in 0 1 2 3 4; do
    python3 /tests/load.py 770$number 778$number /tmp/end tls >/out/${names[number]}.json 2>/tmp/unanswered.${names[number]} &
    loads+=($!)
done
for _ in $(seq "$ROUNDS"); do
    for name in "${names[@]}"; do
        systemctl reset-failed herd@$name
        systemctl restart herd@$name
    done
done
touch /tmp/end
wait "${loads[@]}"
for name in "${names[@]}"; do
    echo "$name: $(cat /out/$name.json)"
    show_unanswered $name </tmp/unanswered.$name
    check "$name is active" is "$(systemctl is-active herd@$name)" active
done
herdctl agree --wait 20s
check "they agree" is $? 0
journalctl -u 'herd@*' -o short-precise --no-pager | tail -40 >/out/journal
echo done
systemctl poweroff --force
