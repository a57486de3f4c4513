"""One authority that signs every certificate of a cluster, and the kubeconfig files that carry them."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 30


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain)


def _name(common_name: str, groups: Sequence[str]) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A certificate authority in a folder; it stores what it issues there as NAME.crt and NAME.key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new authority, and the key pair that signs the tokens of ServiceAccounts (sa.key, sa.pub)."""
        folder.mkdir(parents=True, mode=0o700)
        authority, key = cls(folder), ec.generate_private_key(ec.SECP256R1())
        name = _name("testbed-ca", [])
        certificate = _draft(name, name, key.public_key(), key.public_key())
        certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = certificate.add_extension(_usage(authority=True), critical=True)
        authority._write("ca", key, certificate.sign(key, hashes.SHA256()))
        signer = ec.generate_private_key(ec.SECP256R1())
        (folder / "sa.key").write_bytes(_private(signer))
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        (folder / "sa.pub").write_bytes(signer.public_key().public_bytes(serialization.Encoding.PEM, public))
        return authority

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        (self.folder / f"{name}.key").write_bytes(_private(key))
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, common_name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        """A certificate for a client, and for a server at `hosts` (names or addresses)."""
        signer = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        issuer = x509.load_pem_x509_certificate((self.folder / "ca.crt").read_bytes())
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError("ca.key holds another kind of key than this module writes")
        key = ec.generate_private_key(ec.SECP256R1())
        draft = _draft(_name(common_name, groups), issuer.subject, key.public_key(), signer.public_key())
        draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        draft = draft.add_extension(_usage(authority=False), critical=True)
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        draft = draft.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            draft = draft.add_extension(names, critical=False)
        self._write(file, key, draft.sign(signer, hashes.SHA256()))

    def kubeconfig(self, file: Path, name: str, server: str, namespace: str = "default") -> Path:
        """A kubeconfig with everything inside for the certificate NAME."""

        def inside(part: str) -> str:
            return base64.b64encode((self.folder / part).read_bytes()).decode()

        user = {"client-certificate-data": inside(f"{name}.crt"), "client-key-data": inside(f"{name}.key")}
        cluster = {"server": server, "certificate-authority-data": inside("ca.crt")}
        context = {"cluster": "testbed", "user": name, "namespace": namespace}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "testbed", "context": context}],
        }  # fmt: skip
        file.write_text(json.dumps(config, indent=1))
        file.chmod(0o600)
        return file


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )
