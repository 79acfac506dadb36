#!/usr/bin/env bash
# Runs inside, as a service of systemd: the unit as it is shipped, started, restarted, killed, upgraded and reloaded under
# load. What it finds goes to /out.
set -uo pipefail
exec >/out/log 2>&1
. /tests/shown.sh
status() { systemctl show -P "$1" herd@Ada; }
check() { # what, command...
    if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; fi
}
# What the log has a moment later.
logged() { for _ in $(seq 100); do grep -q "$1" /var/log/herd/Ada.log && return; sleep 0.05; done; return 1; }
is() { [ "$1" = "$2" ] || { echo "  it is ${1@Q}, and should be ${2@Q}"; false; }; }

systemd-sysusers /etc/sysusers.d/herd.conf
timeout 60 systemctl start herd@Ada || { systemctl status --no-pager herd@Ada; systemctl list-jobs --no-pager; }
check "started" is "$(systemctl is-active herd@Ada)" active
check "its status" is "$(status StatusText)" "serving 0 clients"
pid=$(status MainPID)
for what in restart kill upgrade; do
    rm -f /tmp/end
    python3 /tests/load.py 7700 7780 /tmp/end >/out/$what.json 2>/tmp/unanswered &
    load=$!
    for _ in $(seq "$ROUNDS"); do
        sleep 0.5
        # More restarts in a minute than the unit allows: by hand, and one that is broken.
        systemctl reset-failed herd@Ada
        before=$(status MainPID)
        case $what in
        restart) systemctl restart herd@Ada ;;
        kill)
            systemctl kill -s KILL herd@Ada
            for _ in $(seq 400); do
                [ "$(status MainPID)" != "$before" ] && [ "$(systemctl is-active herd@Ada)" = active ] && break
                sleep 0.05
            done
            ;;
        upgrade)
            lines=$(grep -c ' listens on ' /var/log/herd/Ada.log)
            systemctl kill -s USR2 herd@Ada
            for _ in $(seq 400); do
                [ "$(grep -c ' listens on ' /var/log/herd/Ada.log)" -gt "$lines" ] && break
                sleep 0.05
            done
            check "the same process" is "$(status MainPID)" "$before"
            ;;
        esac
    done
    sleep 0.5
    touch /tmp/end
    wait $load
    echo "$what: $(cat /out/$what.json)"
    # Of those killed that is as it is.
    [ "$what" = kill ] || show_unanswered Ada </tmp/unanswered
    systemctl reset-failed herd@Ada
    check "active after $what" is "$(systemctl is-active herd@Ada)" active
done
check "another process by now" test "$(status MainPID)" != "$pid"
check "the sockets are kept" is "$(status NFileDescriptorStore)" 2
check "it was not ended by the watchdog" is "$(status Result)" success

# A herd.conf that is of no use is said at the prompt, and changes nothing.
cp /etc/herd/herd.conf /tmp/good
echo 'bogus = 1' | cat - /tmp/good >/etc/herd/herd.conf
check "a reload of it fails" bash -c '! systemctl reload herd@Ada'
check "active after it" is "$(systemctl is-active herd@Ada)" active
echo 'workers = 3' | cat - /tmp/good >/etc/herd/herd.conf
check "a reload that needs a restart fails" bash -c '! systemctl reload herd@Ada'
check "and says so" logged 'needs a restart: workers: '
before=$(status MainPID)
echo 'max_clients = 77777' | cat - /tmp/good >/etc/herd/herd.conf
check "a reload of what can be taken up" systemctl reload herd@Ada
check "it is taken up" logged 'reloaded: max_clients: 1000000 -> 77777'
check "by the same process" is "$(status MainPID)" "$before"
cp /tmp/good /etc/herd/herd.conf
check "reload" systemctl reload herd@Ada
check "active after a reload" is "$(systemctl is-active herd@Ada)" active

# A stop may take as long as herd.conf says, where the unit gives less: somebody does not read what he asked for.
mkdir -p /etc/systemd/system/herd@Ada.service.d
printf '[Service]\nTimeoutStopSec=2\n' >/etc/systemd/system/herd@Ada.service.d/stop.conf
echo 'stop_timeout_s = 6' | cat - /tmp/good >/etc/herd/herd.conf
systemctl daemon-reload
systemctl restart herd@Ada
python3 /tests/deaf.py 7700 &
deaf=$!
for _ in $(seq 100); do [ -e /tmp/deaf ] && break; sleep 0.05; done
before=$SECONDS
systemctl stop herd@Ada
check "a stop takes longer than the unit gives" test $((SECONDS - before)) -ge 3
check "and is no failure" is "$(status Result)" success
kill $deaf
rm -r /etc/systemd/system/herd@Ada.service.d
systemctl daemon-reload

# A port below 1024 takes what the docs say.
sed -i 's/127.0.0.1:7780/127.0.0.1:443/' /etc/herd/herd.conf
systemctl reset-failed herd@Ada
check "a port below 1024 is refused" bash -c '! systemctl restart herd@Ada'
check "and the log says why" logged '127.0.0.1:443.*Permission denied'
systemctl stop herd@Ada
mkdir -p /etc/systemd/system/herd@Ada.service.d
cp /tests/ports.conf /etc/systemd/system/herd@Ada.service.d/ports.conf
systemctl daemon-reload
systemctl reset-failed herd@Ada
check "with the privilege it starts" systemctl start herd@Ada
check "and listens there" bash -c 'exec 3<>/dev/tcp/127.0.0.1/443; printf "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3; timeout 5 head -1 <&3 | grep -q "^HTTP/1.1 "'
check "as its own user all the same" is "$(stat -c %U "/proc/$(status MainPID)")" herd
rm -r /etc/systemd/system/herd@Ada.service.d
cp /tmp/good /etc/herd/herd.conf
systemctl daemon-reload
systemctl restart herd@Ada

# The target moves all.
systemctl enable herd@Ada herd.target
systemctl start herd.target
systemctl stop herd.target
# Which returns when the target is stopped, and its servers are about to be.
for _ in $(seq 200); do [ "$(systemctl is-active herd@Ada)" = inactive ] && break; sleep 0.05; done
check "stopped by the target" is "$(systemctl is-active herd@Ada)" inactive
check "in good order" is "$(status Result)" success
check "nobody listens" bash -c '! timeout 5 bash -c "</dev/tcp/127.0.0.1/7700"'
systemctl start herd.target
check "started by the target" is "$(systemctl is-active herd@Ada)" active
check "it knows what it was told" bash -c 'exec 3<>/dev/tcp/127.0.0.1/7700; printf "WHATSAT fresh-line-0 1 0\n" >&3; timeout 5 head -1 <&3 | grep -q "^AT "'
journalctl -u herd@Ada -o short-precise --no-pager | tail -40 >/out/journal
echo done
systemctl poweroff --force
