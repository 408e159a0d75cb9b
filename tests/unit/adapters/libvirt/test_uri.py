from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.libvirt.uri import HostUri, Network, parse_uri
from openrdms.model.errors import InvalidParameter

ROOT = Path("/run/openrdms/0123abcd/libvirt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("qemu:///embed", HostUri(f"qemu:///embed?root={ROOT}", ROOT)),
        ("qemu:///embed?root=/srv/lv", HostUri("qemu:///embed?root=/srv/lv", Path("/srv/lv"))),
        ("qemu:///system", HostUri("qemu:///system", None)),
        (
            "qemu+ssh://root@h1.example.org/system?name=H1&keyfile=/k&accel=kvm&shared=/srv",
            HostUri(
                "qemu+ssh://root@h1.example.org/system?keyfile=/k&no_tty=1",
                None,
                name="H1",
                acceleration="kvm",
                far="h1.example.org",
                shared=Path("/srv"),
            ),
        ),
        (
            "qemu+tls://h1.example.org:1/system?shared=/srv&pkipath=/p",
            HostUri(
                "qemu+tls://h1.example.org:1/system?pkipath=/p",
                None,
                name="h1.example.org",
                far="h1.example.org",
                shared=Path("/srv"),
            ),
        ),
        (
            "qemu:///session?network=bridge:br0",
            HostUri("qemu:///session", None, network=Network("bridge", "br0")),
        ),
        (
            "qemu:///session?network=libvirt:default",
            HostUri("qemu:///session", None, network=Network("network", "default")),
        ),
        (
            "qemu:///system?gold=/srv/gold&copy_mib_s=2.5",
            HostUri("qemu:///system", None, gold=Path("/srv/gold"), copy_rate=2.5 * (1 << 20)),
        ),
    ],
)
def test_our_parameters_are_taken_out(text: str, expected: HostUri) -> None:
    assert parse_uri(text, ROOT) == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("accel=xen", "accel=xen"),
        ("network=tap", "network=tap"),
        ("network=bridge:", "network=bridge:"),
        ("network=user:x", "network=user:x"),
        ("gold=cache", "gold=cache"),
        ("gold=", "gold="),
        ("copy_mib_s=fast", "copy_mib_s=fast"),
        ("copy_mib_s=0", "copy_mib_s=0"),
        ("copy_mib_s=nan", "copy_mib_s=nan"),
    ],
)
def test_wrong_parameter_is_named(query: str, named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        parse_uri(f"qemu:///embed?{query}", ROOT)


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("qemu+tls://h1/system", "needs shared="),
        ("qemu+tls://h1/system?shared=srv", "shared=srv"),
        ("qemu+tls://h1/system?shared=/srv&no_verify=1", "no_verify"),
        ("qemu+tls://h1/system?shared=/srv&No_Verify=1", "no_verify"),
        ("qemu+libssh2://h1/system?shared=/srv&known_hosts_verify=ignore", "verify=ignore"),
        ("qemu+libssh2://h1/system?shared=/srv&known_hosts_verify=auto", "verify=auto"),
        ("qemu+tcp://h1/system?shared=/srv", "use qemu\\+tls"),
        ("qemu+ssh://root:secret@h1/system?shared=/srv", "password"),
        ("qemu+tls://h1/system?shared=/srv&name=a/b", "name=a/b"),
        ("qemu:///embed?shared=/srv", "needs a libvirtd"),
    ],
)
def test_wrong_remote_host_is_refused(uri: str, named: str) -> None:
    with pytest.raises(InvalidParameter, match=named) as refused:
        parse_uri(uri, ROOT)
    assert "secret" not in str(refused.value)


@given(root=st.text(min_size=1).map(lambda text: f"/{text}"))
def test_any_root_comes_back_from_what_libvirt_gets(root: str) -> None:
    first = parse_uri("qemu:///embed", Path(root))
    assert parse_uri(first.libvirt, ROOT).root == first.root == Path(root)
