"""Disk files of the simulator that leave it: empty qcow2 images any tool can read."""

from __future__ import annotations

import struct

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_TABLE_REACH = _CLUSTER * (_CLUSTER // 8)


def empty_qcow2(virtual_bytes: int) -> bytes:
    """A qcow2 version 2 file of ``virtual_bytes`` zeros and no backing file.

    Layout by QEMU's docs/interop/qcow2.txt: header, refcount table, refcount block, L1 table,
    one cluster each, which reaches to 4 TiB.
    """
    entries = -(-virtual_bytes // _TABLE_REACH)
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        2,
        0,  # no backing file
        0,
        _CLUSTER_BITS,
        virtual_bytes,
        0,  # not encrypted
        entries,
        3 * _CLUSTER,
        1 * _CLUSTER,
        1,  # cluster of refcount table
        0,  # no snapshots
        0,
    )
    clusters = (header, struct.pack(">Q", 2 * _CLUSTER), struct.pack(">4H", 1, 1, 1, 1), b"")
    return b"".join(cluster.ljust(_CLUSTER, b"\0") for cluster in clusters)
