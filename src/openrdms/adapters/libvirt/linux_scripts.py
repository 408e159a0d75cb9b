"""What runs inside Linux guests: fixed text, POSIX sh; values come as "$1", "$2" and on.

Every process costs a quarter of a second in a guest without KVM, so each question is one script.
"""

_PROPERTIES = (
    "Id Name User Type Class State Seat TTY Display Service Scope RemoteHost"
    " Timestamp IdleHint IdleSinceHintMonotonic"
)
_SHOW = "TZ=UTC loginctl show-session " + " ".join(f"-p {name}" for name in _PROPERTIES.split())

LIST = f"""
read -r boot_id < /proc/sys/kernel/random/boot_id
read -r uptime idle < /proc/uptime
echo "$boot_id $uptime"
cd /run/systemd/sessions 2>/dev/null || exit 0  # where sd_get_sessions(3) looks, too
list() {{
    set --
    for session in *; do
        case $session in *.ref | '*') ;; *) set -- "$@" "$session" ;; esac
    done
    [ $# -gt 0 ] || exit 0
    sessions=$({_SHOW} "$@")
}}
list || list || list || exit 1  # it shows nothing of the rest when one has just ended
printf '%s\\n' "$sessions"
case $sessions in
    *Service=xrdp-sesman*) echo '%sockets'; ss -Htxnp | grep xrdp || : ;;
esac
"""
"""Boot id, seconds since then, the properties of all sessions and, with xrdp, the sockets of its
connections.
"""

END_CONNECTION = """
read -r name < "/proc/$1/comm" && [ "$name" = xrdp ] && kill "$1" && exit
echo "process $1 is no xrdp connection" >&2
exit 1
"""
"""Kills a process only if it is xrdp's: users of the guest can forge the list it comes from."""

ENVIRONMENT = """
user=$1 uid=$2 scope=$3
names='DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|HOME|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS|XDG_SEAT_PATH'
slice=user.slice/user-$uid.slice/$scope/cgroup.procs
for pid in $(cat "/sys/fs/cgroup/$slice" "/sys/fs/cgroup/systemd/$slice" 2>/dev/null); do
    found=$(tr '\\0' '\\n' < "/proc/$pid/environ" | grep -E "^($names)=")
    case $found in *DISPLAY=*DBUS_SESSION_BUS* | *DBUS_SESSION_BUS*DISPLAY=*) break ;; esac
done
[ -n "$found" ] || exit 0
printf '%s\\n' "$found"
bus="unix:path=/run/user/$uid/bus"
while IFS='=' read -r name value; do
    [ "$name" = DBUS_SESSION_BUS_ADDRESS ] && bus=$value
done <<END
$found
END
call() {
    runuser -u "$user" -- busctl --address="$bus" call "$@" 2>/dev/null
}
notifications=org.freedesktop.Notifications
call $notifications /org/freedesktop/Notifications $notifications GetServerInformation >&2
owner=$(call org.freedesktop.DBus / org.freedesktop.DBus GetConnectionUnixProcessID s \\
    $notifications)
[ -n "$owner" ] || exit 0
echo '%notifier'
cat "/proc/${owner#u }/cgroup"
tr '\\0' '\\n' < "/proc/${owner#u }/environ" | grep '^DISPLAY='
exit 0
"""
"""The display and bus of a session, from a process of it, and who shows notifications there."""

OPEN_DIALOG = """
command -v zenity > /dev/null && exec zenity --text-info --title="$1"
exec xmessage -center -title "$1" -file -
"""
"""A dialog with the text on its input, of the desktop's kind or else X's own."""

CLIP = """
[ "$1" = -out ] && exec xclip -selection clipboard -target UTF8_STRING -out
exec xclip -selection clipboard -in > /dev/null 2>&1  # its child would keep the agent waiting
"""
"""An X session's clipboard, out or in."""

LIST_APPLICATIONS = r"""
keys='Type|Name|Exec|TryExec|Icon|NoDisplay|Hidden|Terminal|OnlyShowIn'
grep -RHZsaE --include='*.desktop' "^(\[|($keys)[[:blank:]]*=)" \
    /usr/local/share/applications /usr/share/applications
exit 0
"""
"""Group headers and keys of all desktop entries, each after its file's path and a NUL.

In the order of XDG_DATA_DIRS; a directory that is missing has none.
"""

FIND_PROGRAMS = """
PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games
for program; do
    found=$(command -v -- "$program")
    [ -f "$found" ] && [ -x "$found" ] || found=
    printf '%s\\n' "$found"
done
"""
"""For each argument a line: the full path of that program on a user's PATH, or none."""

SET_IDENTITY = """
set -eu
hostname=$1 machine_id=$2 mac=$3
exec 9> /run/openrdms-identity
flock 9  # of two services that do this at once one writes the key, the other its certificate
if [ "$(cat /etc/hostname)" != "$hostname" ]; then
    echo "$hostname" > /etc/hostname
    names=$(grep -v '^127\\.0\\.1\\.1[[:space:]]' /etc/hosts)
    printf '%s\\n127.0.1.1 %s\\n' "$names" "$hostname" > /etc/hosts
    renamed=yes
fi
echo "$hostname" > /proc/sys/kernel/hostname
if [ "$(cat /etc/machine-id)" != "$machine_id" ]; then
    echo "$machine_id" > /etc/machine-id
    [ ! -f /var/lib/dbus/machine-id ] || [ -L /var/lib/dbus/machine-id ] ||
        echo "$machine_id" > /var/lib/dbus/machine-id
fi
cards=
for card in /sys/class/net/*; do
    [ -e "$card/device" ] && cards="$cards ${card##*/}:$(cat "$card/address")"
done
case $cards in
    '' | *":$mac"*) ;;
    *)
        card=${cards%%:*}
        ip link set dev $card down
        ip link set dev $card address "$mac"
        ip link set dev $card up
        ;;
esac
key=/etc/ssl/private/ssl-cert-snakeoil.key
if command -v openssl > /dev/null && getent group ssl-cert > /dev/null &&
    { [ ! -e $key ] || [ "${renamed:-}" ]; }; then
    (umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=$hostname" -keyout $key -out /etc/ssl/certs/ssl-cert-snakeoil.pem 2> /dev/null)
    chgrp ssl-cert $key
    chmod 640 $key
    chmod 644 /etc/ssl/certs/ssl-cert-snakeoil.pem
fi
if command -v xrdp-keygen > /dev/null && [ ! -e /etc/xrdp/rsakeys.ini ]; then
    systemd-run --quiet --no-block --collect --unit=xrdp-keygen /bin/sh -c '
        umask 077
        xrdp-keygen xrdp /etc/xrdp/rsakeys.ini &&
            chown xrdp:xrdp /etc/xrdp/rsakeys.ini'
fi
if [ -d /etc/ssh ] && command -v ssh-keygen > /dev/null; then ssh-keygen -A > /dev/null; fi
sync
cat /proc/sys/kernel/hostname /etc/hostname /etc/machine-id
for card in /sys/class/net/*; do [ ! -e "$card/device" ] || cat "$card/address"; done
"""
"""Plain writes (hostnamectl would start a service) and keys that may not be shared, read back.

The key for RDP's own encryption takes a guest without KVM up to a minute, so nobody waits for it.
xrdp reads its keys at each connection; to restart it would end those that are there.
"""

GENERALISE = """
set -eu
: > /etc/machine-id
[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/xrdp/rsakeys.ini
rm -f /var/lib/systemd/random-seed /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease
rm -f /root/.bash_history /home/*/.bash_history
rm -rf /var/log/journal/*
find /var/log -type f \\( -name '*.gz' -o -name '*.[0-9]' \\) -delete
find /var/log -type f -exec truncate -s 0 {} +  # kept: daemons of their own user cannot make them
echo localhost > /etc/hostname
echo localhost > /proc/sys/kernel/hostname
names=$(grep -v '^127\\.0\\.1\\.1[[:space:]]' /etc/hosts)
printf '%s\\n' "$names" > /etc/hosts
sync
cat /etc/machine-id
"""
"""Removes what must not be cloned; prints the machine-id that is left, which is none."""

LOGON_MARK = """
read -r boot_id < /proc/sys/kernel/random/boot_id
sessions=$(journalctl -b -q -o cat MESSAGE_ID=8d45620c1a4348dbb17410da57c60c66) || exit 1
printf '%s\\n' "$sessions" | awk -v boot_id="$boot_id" '
BEGIN {
    while ((getline line < "/etc/passwd") > 0) {
        split(line, entry, ":")
        if (entry[3] > 0 && entry[3] < 1000) system_user[entry[1]]
    }
}
/^New session/ {
    user = $6
    gsub(/^\\047|[.\\047]+$/, "", user)
    if (!(user in system_user)) { count++; last = $3 }
}
END { print boot_id "/" count + 0 "/" last }
'
"""
"""The boot id, how many sessions logind has begun since for others than system users such as a
greeter's, and the id of the last.

The number is SD_MESSAGE_SESSION_START of sd-messages(3); its text is "New session 3 of user
alice.", from systemd 256 on with quotes.
"""
