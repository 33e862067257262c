#!/bin/sh
# On a board that was booted with systemd: installs Gridlink by the commands of docs/board.md (installed.sh), then breaks
# what systemd and the guardian are to mend. Ends at the first thing that isn't as it should be, with status 1.
set -eu
say() { echo "unit: $*"; }
fail() {
  echo "unit: FAILED: $*"
  systemctl status --no-pager --full gridlink || true
  journalctl --no-pager -u gridlink -n 60 || true
  exit 1
}
value() { systemctl show --property="$1" --value gridlink; }
until_is() { # until_is SECONDS PROPERTY PATTERN: the property matches within so many seconds
  left=$1
  while [ "$left" -gt 0 ]; do
    case $(value "$2") in $3) return 0 ;; esac
    sleep 1
    left=$((left - 1))
  done
  fail "$2 is '$(value "$2")', expected is '$3'"
}
all='6 of 6 bundles are RUNNING'
all_run() { # once systemd and the AppManager say so
  until_is 240 ActiveState active
  until_is 240 StatusText "$all"
}

# The image has Gridlink already; the page begins with a board that has none.
rm -rf /opt/gridlink
mkdir -p /var/tmp/wheels
cp /board/wheels/*.whl /var/tmp/wheels
cp /board/share/gridlink-*.whl /var/tmp/wheels
sh installed.sh || fail "a command of docs/board.md"
all_run
[ "$(value SubState)" = running ] || fail "it isn't running"
main=$(value MainPID)
say "installed and started: $(value StatusText); $(systemd-analyze security --no-pager gridlink | tail -1)"
[ "$(stat -c %U "/proc/$main")" = gridlink ] || fail "it runs as $(stat -c %U "/proc/$main")"
sleep 30
say "with systemd, mode node: $(awk '/MemAvailable/ {printf "%.0f", $2 / 1024}' /proc/meminfo) MiB available, unit: $(value MemoryCurrent) bytes"

# A node that is stopped: the guardian replaces it, systemd leaves it alone.
node=$(sed -n 's/.*"node": \([0-9]*\).*/\1/p' /var/lib/gridlink/managed/.gridlink/node.json | tail -1)
kill -STOP "$node"
until_is 90 StatusText 'the node*'
all_run
[ "$(value MainPID)" = "$main" ] || fail "systemd has replaced the guardian for a node that was stopped"
say "a stopped node was replaced by the guardian"

# A flash that is full: nothing ends, and Storage goes on once there is room.
gridlink() { runuser -u gridlink -- /opt/gridlink/bin/gridlink -C /var/lib/gridlink/managed "$@"; }
gridlink call storage createDataPoint '{"dataPoint": "probe", "unit": "V"}' || fail "storage doesn't take a data point"
store() { gridlink call storage addMeasurement '{"dataPoint": "probe", "value": 1.0, "timestamp_s": 1.0}' 2>&1; }
dd if=/dev/zero of=/var/lib/gridlink/fill bs=64k 2>/dev/null || true
[ "$(df --output=avail -k /var/lib/gridlink | tail -1)" -lt 100 ] || fail "the disk isn't full: $(df -k /var/lib/gridlink)"
said=$(store || true)
sleep 10
[ "$(value MainPID) $(value StatusText)" = "$main $all" ] || fail "a full disk has ended something"
rm /var/lib/gridlink/fill
store || fail "storage doesn't go on when there is room again"
say "full disk: all bundles ran on; storage said then: ${said:-nothing, it had room in its file}"

# Limits are cgroups of the unit's own.
limited=/var/lib/gridlink/managed/voltage_guard/module.json
/opt/gridlink/bin/python - $limited <<'EDIT'
import json, sys
manifest = json.load(open(sys.argv[1]))
json.dump(manifest | {"mode": "process", "resources": {"memory_mib": 40, "cpu": 0.5}}, open(sys.argv[1], "w"))
EDIT
systemctl restart gridlink
all_run
main=$(value MainPID)
[ "$(value Result)" = success ] || fail "the stop ended with $(value Result)"
found=$(find /sys/fs/cgroup/system.slice/gridlink.service -name memory.max -path '*voltage_guard*')
[ -n "$found" ] || fail "voltage_guard has no cgroup: $(find /sys/fs/cgroup/system.slice/gridlink.service -type d)"
say "voltage_guard's limit: $(cat "$found") bytes, in $(basename "$(dirname "$found")")"

# A guardian that is stopped: systemd ends it after WatchdogSec, and starts it again.
mkdir -p /run/systemd/system/gridlink.service.d
printf '[Service]\nWatchdogSec=20\nTimeoutAbortSec=5\n' >/run/systemd/system/gridlink.service.d/test.conf
systemctl daemon-reload
systemctl restart gridlink
all_run
main=$(value MainPID)
kill -STOP "$main"
until_is 120 NRestarts 1
all_run
[ "$(value MainPID)" != "$main" ] || fail "the guardian that was stopped is still there"
journalctl --no-pager -u gridlink | grep -q 'Watchdog timeout' || fail "the journal doesn't say that it was the watchdog"
say "a stopped guardian was replaced by systemd"

# A guardian that is killed.
kill -KILL "$(value MainPID)"
until_is 60 NRestarts 2
all_run
say "a killed guardian was replaced by systemd"

# The end, in order.
systemctl stop gridlink
[ "$(value Result)" = success ] || fail "the stop ended with $(value Result)"
[ -z "$(pgrep -u gridlink || true)" ] || fail "processes are left: $(pgrep -u gridlink -a)"
say "stopped in order: nothing is left"
