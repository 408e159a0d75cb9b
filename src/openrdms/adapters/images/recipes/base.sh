# Runs as root outside the new root file system "$1" (mmdebstrap customize hook).
set -eu
root=$1

echo golden > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 golden\n' > "$root/etc/hosts"

# mmdebstrap leaves the resolver of the machine that builds.
rm -f "$root/etc/resolv.conf"

# The demo accounts: their passwords are their names.
for user in alice bob; do
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    echo "$user:$user" | chroot "$root" chpasswd
done

chroot "$root" systemctl --quiet enable systemd-networkd.service
for unit in systemd-networkd-wait-online.service systemd-pstore.service \
    systemd-update-utmp-runlevel.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# systemd takes an empty machine-id from the VM's UUID when a clone boots first.
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
