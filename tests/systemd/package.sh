#!/usr/bin/env bash
# Runs inside, as a service of systemd: the life of the package, from its installation to its purge. What it finds goes to
# /out.
set -uo pipefail
exec >/out/log 2>&1
check() { # what, command...
    if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; fi
}
is() { [ "$1" = "$2" ] || { echo "  it is ${1@Q}, and should be ${2@Q}"; false; }; }
state() { systemctl is-active "$1"; }
ask() { printf '%s\n' "$1" | timeout 5 nc -N 127.0.0.1 7700; }

check "installed" dpkg -i /debs/old.deb
check "its user is there" getent passwd herd
check "its folders are, too, before a start" is "$(stat -c '%U %a' /var/lib/herd /var/log/herd | tr '\n' ' ')" "herd 750 herd 750 "
check "so a check before it is content" runuser -u herd -- herd --check Ada
systemctl enable --now herd@Ada herd.target
check "it runs" is "$(state herd@Ada)" active
check "it takes a report" bash -c "printf 'IAMAT kiwi +1+1 1\n' | timeout 5 nc -N 127.0.0.1 7700 | grep -q '^AT Ada '"
check "as its own user" is "$(stat -c %U /var/lib/herd/Ada)" herd
check "herdctl is there" bash -c "herdctl status | grep -q 'Ada *up *1 '"
echo '# edited' >>/etc/herd/herd.conf
cp /etc/herd/herd.conf /tmp/good
before=$(systemctl show -P MainPID herd@Ada)
sed -i 's/^log_level/log_leval/' /etc/herd/herd.conf
check "upgraded though herd.conf has a typo" bash -c 'dpkg -i /debs/new.deb 2>/tmp/said'
check "and says that the server goes on" grep -q 'Ada goes on as it is, with the old program: .*log_leval' /tmp/said
check "which it does" is "$(systemctl show -P MainPID herd@Ada)" "$before"
cp /tmp/good /etc/herd/herd.conf
before=$(systemctl show -P MainPID herd@Ada)
check "upgraded" dpkg -i /debs/new.deb
check "to another process" test "$(systemctl show -P MainPID herd@Ada)" != "$before"
check "which runs" is "$(state herd@Ada)" active
check "and knows what the other was told" bash -c "printf 'WHATSAT kiwi 1 0\n' | timeout 5 nc -N 127.0.0.1 7700 | grep -q '^AT Ada '"
check "the edited herd.conf is kept" grep -q '^# edited' /etc/herd/herd.conf
check "removed" dpkg -r herd
check "nothing runs" is "$(state herd@Ada)" inactive
check "what it was told is kept" test -e /var/lib/herd/Ada
check "so is herd.conf" test -e /etc/herd/herd.conf
check "purged" dpkg -P herd
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /out -o -path /debs -o -path /tests \) -prune -o -name '*herd*' -print | grep -v -e /var/log/journal -e '^/usr/lib/python' | tr '\n' ' ')
check "nothing is left" is "$left" ""
echo done
systemctl poweroff --force
