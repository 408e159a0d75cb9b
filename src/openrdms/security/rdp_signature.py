"""Signatures of RDP files, in the form that mstsc checks and rdpsign.exe makes.

The form is not published; what is here is what others have found out and what files show. The
line ``signscope`` names the settings that are signed. Signed are their lines as they stand in the
file, in that order, and the line ``signscope`` itself, each ended by CR LF, then a NUL, in
UTF-16LE. The line ``signature`` is base64 of a header of 12 octets (two constants, and the length
of what follows) and a detached PKCS #7 SignedData in DER without signed attributes.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from openrdms.model.errors import InvalidParameter, RdmsError
from openrdms.model.rdp_file import Setting, find

SCOPE, SIGNATURE = "signscope", "signature"

SIGNED_NAMES = (
    *("Full Address", "Alternate Full Address", "PCB", "Use Redirection Server Name"),
    *("Server Port", "Negotiate Security Layer", "EnableCredSspSupport"),
    *("DisableConnectionSharing", "AutoReconnection Enabled", "GatewayHostname"),
    *("GatewayUsageMethod", "GatewayProfileUsageMethod", "GatewayCredentialsSource"),
    *("Support URL", "PromptCredentialOnce", "Require pre-authentication"),
    *("Pre-authentication server address", "Alternate Shell", "Shell Working Directory"),
    *("RemoteApplicationProgram", "RemoteApplicationExpandWorkingdir", "RemoteApplicationMode"),
    *("RemoteApplicationGuid", "RemoteApplicationName", "RemoteApplicationIcon"),
    *("RemoteApplicationFile", "RemoteApplicationFileExtensions", "RemoteApplicationCmdLine"),
    *("RemoteApplicationExpandCmdLine", "Prompt For Credentials", "Authentication Level"),
    *("AudioMode", "RedirectDrives", "RedirectPrinters", "RedirectCOMPorts"),
    *("RedirectSmartCards", "RedirectPOSDevices", "RedirectClipboard", "DevicesToRedirect"),
    *("DrivesToRedirect", "LoadBalanceInfo", "RedirectDirectX", "RDGIsKDCProxy", "KDCProxyName"),
    "EventLogUploadAddress",
)
"""The settings that mstsc takes from a signed file only when they are signed, as it spells them."""

_SPELLED = {name.casefold(): name for name in SIGNED_NAMES}
_HEADER = struct.Struct("<III")
_HEADER_WORDS = (0x00010001, 1)
_PRIVATE_KEYS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)
_DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256,
    "2.16.840.1.101.3.4.2.2": hashes.SHA384,
    "2.16.840.1.101.3.4.2.3": hashes.SHA512,
}


class NotGenuine(RdmsError):
    """The file is not signed, or not as it was when it was signed."""


@asn1.sequence
class _Algorithm:
    algorithm: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Content:
    kind: x509.ObjectIdentifier


@asn1.sequence
class _Signer:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _SignerInfo:
    version: int
    signer: _Signer
    digest: _Algorithm
    algorithm: _Algorithm
    signature: bytes


@asn1.sequence
class _SignedData:
    version: int
    digests: asn1.SetOf[_Algorithm]
    content: _Content
    certificates: Annotated[asn1.SetOf[x509.Certificate] | None, asn1.Implicit(0)]
    signers: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _ContentInfo:
    kind: x509.ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@dataclass(frozen=True)
class Verified:
    """Whose signature it is, and what it covers, as the file spells it."""

    signer: x509.Certificate
    scope: tuple[str, ...]


class RdpSigner:
    """Signs files with one certificate."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """PEM files: the chain, leaf first, and an RSA or EC key. InvalidParameter."""
        self._leaf, *self._chain = _read_certificates(certificate_file)
        self._key = _read_key(key_file)
        if self._key.public_key() != self._leaf.public_key():
            raise InvalidParameter("rdp-key", "does not belong to the certificate")

    @classmethod
    def of(cls, certificate_file: Path | None, key_file: Path | None) -> RdpSigner | None:
        """None without either. InvalidParameter, also for one alone."""
        if certificate_file is None and key_file is None:
            return None
        if certificate_file is None or key_file is None:
            raise InvalidParameter("rdp-cert, rdp-key", "one of them is missing")
        return cls(certificate_file, key_file)

    def sign(self, settings: Sequence[Setting]) -> list[Setting]:
        """The settings with a signature over all of them that can be signed."""
        plain = [one for one in settings if one.name.casefold() not in (SCOPE, SIGNATURE)]
        names = [name for name in SIGNED_NAMES if find(plain, name)]
        scope = Setting(SCOPE, "s", ",".join(names))
        builder = (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(_message(plain, scope))
            .add_signer(self._leaf, self._key, hashes.SHA256())
        )
        for certificate in self._chain:
            builder = builder.add_certificate(certificate)
        options = pkcs7.PKCS7Options
        signed = builder.sign(
            serialization.Encoding.DER,
            [options.DetachedSignature, options.Binary, options.NoAttributes],
        )
        value = base64.b64encode(_HEADER.pack(*_HEADER_WORDS, len(signed)) + signed).decode()
        return [*plain, scope, Setting(SIGNATURE, "s", value)]


def verify(settings: Sequence[Setting]) -> Verified:
    """Whose signature it is. NotGenuine says what is wrong.

    Whether the signer is to be trusted is for the caller to say.
    """
    scope, signature = _only(settings, SCOPE), _only(settings, SIGNATURE)
    names = tuple(scope.value.split(","))
    signed = {name.casefold() for name in names}
    for one in settings:
        folded = one.name.casefold()
        if folded in _SPELLED and folded not in signed:
            raise NotGenuine(f"{one.name!r} is not among what was signed")
    message = _message(settings, scope)
    data = _parse(signature.value)
    signer, info = _find_signer(data)
    _check(signer, info, message)
    return Verified(signer, names)


def _message(settings: Sequence[Setting], scope: Setting) -> bytes:
    """What is signed. NotGenuine when a setting is missing, or there twice."""
    lines = [str(_only(settings, name)) for name in scope.value.split(",")]
    return "".join(f"{line}\r\n" for line in (*lines, scope)).encode("utf-16-le") + b"\0\0"


def _only(settings: Sequence[Setting], name: str) -> Setting:
    folded = name.casefold()
    found = [one for one in settings if one.name.casefold() == folded]
    if len(found) != 1:
        raise NotGenuine(f"{name!r} is {'missing' if not found else 'there more than once'}")
    return found[0]


def _parse(text: str) -> _SignedData:
    try:
        content = base64.b64decode(text.replace(" ", ""), validate=True)
        length = _HEADER.unpack_from(content)[2]
        return asn1.decode_der(_ContentInfo, content[_HEADER.size :][:length]).content
    except (binascii.Error, struct.error, ValueError) as error:
        raise NotGenuine(f"the signature cannot be read: {error}") from error


def _find_signer(data: _SignedData) -> tuple[x509.Certificate, _SignerInfo]:
    [*infos] = data.signers.as_list()
    if len(infos) != 1:
        raise NotGenuine(f"there are {len(infos)} signers")
    serial = infos[0].signer.serial
    for certificate in data.certificates.as_list() if data.certificates else ():
        if certificate.serial_number == serial:
            return certificate, infos[0]
    raise NotGenuine("the signer's certificate is missing")


def _check(signer: x509.Certificate, info: _SignerInfo, message: bytes) -> None:
    digest = _DIGESTS.get(info.digest.algorithm.dotted_string)
    if digest is None:
        raise NotGenuine(f"its digest {info.digest.algorithm.dotted_string} is not taken")
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(info.signature, message, padding.PKCS1v15(), digest())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(info.signature, message, ec.ECDSA(digest()))
        else:
            raise NotGenuine("its signer's key is neither RSA nor EC")
    except InvalidSignature as error:
        raise NotGenuine("the file is not as it was when it was signed") from error


def _read_certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidParameter("rdp-cert", f"{file}: {error}") from error


def _read_key(file: Path) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidParameter("rdp-key", f"{file}: {error}") from error
    if not isinstance(key, _PRIVATE_KEYS):
        raise InvalidParameter("rdp-key", f"{file} is neither an RSA nor an EC key")
    return key
