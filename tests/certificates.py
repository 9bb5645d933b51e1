"""An authority of its own that signs certificates for tests."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """A CA whose certificate is in `ca`, PEM. Each `issue` writes a pair of files."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        found = self._signed(self._name, self._key, is_ca=True, names=())
        self.ca = folder / f"{name.replace(' ', '-')}.pem"
        self.ca.write_bytes(found)

    def issue(self, name: str, *names: str) -> tuple[Path, Path]:
        """(certificate, key) as NAME.pem and NAME.key, each replaced whole.

        names: DNS names, IP addresses and URIs; those of this machine where none are given.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        chain = self._signed(subject, key, is_ca=False, names=names or ("localhost", "127.0.0.1"))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        found = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        for path, data in zip(found, (chain, pem), strict=True):
            fresh = path.with_suffix(f"{path.suffix}.new")
            fresh.write_bytes(data)
            fresh.replace(path)
        return found

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_ca: bool, names) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
