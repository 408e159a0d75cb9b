# After base.sh. Log files stay: xrdp runs as its own user and could not make them again.
set -eu
root=$1

# Without this group xrdp cannot read its TLS key and refuses everybody.
chroot "$root" adduser --quiet xrdp ssl-cert
ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" systemctl --quiet set-default graphical.target

# A key in an image would be the same in every clone: each gets its own with its identity. The
# one for RDP's own encryption may stay, because nothing but TLS is offered.
rm -f "$root/etc/ssl/private/ssl-cert-snakeoil.key"
sed -i 's/^security_layer=.*/security_layer=tls/' "$root/etc/xrdp/xrdp.ini"
