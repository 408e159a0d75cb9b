# After base.sh. Log files stay: xrdp runs as its own user and could not make them again.
set -eu
root=$1

# Without this group xrdp cannot read its TLS key and offers RDP's own weak encryption only.
chroot "$root" adduser --quiet xrdp ssl-cert
ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" systemctl --quiet set-default graphical.target

# Keys in an image would be the same in every clone: each gets its own with its identity.
rm -f "$root/etc/ssl/private/ssl-cert-snakeoil.key" "$root/etc/xrdp/rsakeys.ini"
