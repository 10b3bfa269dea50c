"""The manifest of a pack: every file with its hash, their Merkle root, signed.

The envelope is DSSE, its payload an in-toto statement whose subjects are the files: what `cosign
verify-blob-attestation` and other tools of that family read.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from copycatch.errors import ConfigError, StateError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

MANIFEST = "manifest.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:copycatch:evidence:v1"
CHUNK_BYTES = 1 << 20
MANIFEST_BYTES_MAX = 64 << 20
MISSING = "signed evidence needs another package; install it with: pip install 'copycatch[evidence]'"


class _Digest(msgspec.Struct):
    sha256: str


class _Subject(msgspec.Struct):
    name: str
    digest: _Digest


class _Predicate(msgspec.Struct, rename="camel"):
    merkle_root: str


class _Statement(msgspec.Struct, rename="camel"):
    type_: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str
    predicate: _Predicate


def merkle_root(leaves: Sequence[bytes]) -> str:
    r"""Root of the Merkle tree over the leaves as RFC 6962, section 2.1, defines it, in hexadecimal digits.

    Examples
    --------
    >>> merkle_root([]) == hashlib.sha256(b"").hexdigest()
    True
    >>> merkle_root([b"a"]) == hashlib.sha256(b"\0a").hexdigest()
    True
    """
    return _root(leaves).hex()


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) <= 1:
        return hashlib.sha256(b"".join(b"\0" + leaf for leaf in leaves)).digest()
    left = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below their number
    return hashlib.sha256(b"\1" + _root(leaves[:left]) + _root(leaves[left:])).digest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in parts.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    return digest.hexdigest()


def _leaves(hash_by_name: Mapping[str, str]) -> list[bytes]:
    return [f"{name}\0{digest}".encode() for name, digest in sorted(hash_by_name.items())]


def root_of(hash_by_name: Mapping[str, str]) -> str:
    """Merkle root of files; a leaf is the name, a zero byte and the hexadecimal SHA-256, by name."""
    return merkle_root(_leaves(hash_by_name))


def signer_of(key_file: Path, password: bytes | None) -> "CryptoSigner":
    """The operator's private key: PEM, Ed25519 or what else the library signs with.

    Raises
    ------
    ConfigError
        If it is none, needs a password, or the library is missing.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from securesystemslib.signer import CryptoSigner
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    try:
        return CryptoSigner(load_pem_private_key(key_file.read_bytes(), password))
    except OSError as error:
        msg = f"{key_file}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = (
            f"{key_file}: no private key that signs ({error}); make one with openssl genpkey -algorithm "
            "ed25519 -out key.pem, and put the password of an encrypted one into "
            "COPYCATCH_EVIDENCE_PASSWORD"
        )
        raise ConfigError(msg) from error


def public_key_of(key_file: Path) -> "SSlibKey":
    """A public key in PEM, as `openssl pkey -pubout` writes it.

    Raises
    ------
    ConfigError
        If it is none, or the library is missing.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from securesystemslib.signer import SSlibKey
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    try:
        return SSlibKey.from_crypto(load_pem_public_key(key_file.read_bytes()))
    except OSError as error:
        msg = f"{key_file}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        msg = f"{key_file}: no public key ({error}); write it with openssl pkey -in key.pem -pubout"
        raise ConfigError(msg) from error


def signed_manifest(
    hash_by_name: Mapping[str, str], facts: Mapping[str, Any], signer: "CryptoSigner"
) -> bytes:
    """The envelope, as JSON; `facts` become part of the predicate."""
    from securesystemslib.dsse import Envelope

    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}} for name, digest in sorted(hash_by_name.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {**facts, "merkleRoot": root_of(hash_by_name)},
    }
    envelope = Envelope(msgspec.json.encode(statement), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return msgspec.json.format(msgspec.json.encode(envelope.to_dict()), indent=2) + b"\n"


def read_manifest(path: Path, key: "SSlibKey") -> dict[str, str]:
    """Names and SHA-256 of the files, once the signature is good.

    Raises
    ------
    StateError
        If there is no manifest, it was changed, or another key signed it; nothing of it is used then.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import FormatError, VerificationError

    try:
        with path.open("rb") as file:
            envelope = Envelope.from_dict(msgspec.json.decode(file.read(MANIFEST_BYTES_MAX)))
        envelope.verify([key], threshold=1)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise StateError(msg) from error
    except (VerificationError, FormatError, KeyError, TypeError, AttributeError, ValueError) as error:
        # A damaged envelope fails in the library in each of these ways.
        msg = f"{path}: was changed, or was not signed by this key ({printable_error(error)})"
        raise StateError(msg) from error
    try:
        statement = msgspec.json.decode(envelope.payload, type=_Statement)
    except msgspec.DecodeError as error:
        msg = f"{path}: is signed, but no manifest of a pack: {error}"
        raise StateError(msg) from error
    hash_by_name = {each.name: each.digest.sha256 for each in statement.subject}
    is_whole = (
        envelope.payload_type == PAYLOAD_TYPE
        and (statement.type_, statement.predicate_type) == (STATEMENT_TYPE, PREDICATE_TYPE)
        and len(hash_by_name) == len(statement.subject)
        and statement.predicate.merkle_root == root_of(hash_by_name)
        and all(_is_plain(name) for name in hash_by_name)
    )
    if not is_whole:
        msg = f"{path}: is signed, but its files, their root or its type do not fit each other"
        raise StateError(msg)
    return hash_by_name


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def printable_error(error: Exception) -> str:
    """What a library says, on one line."""
    from copycatch.safe_text import printable

    return printable(f"{type(error).__name__}: {error}", 200)


def differing_files(folder: Path, hash_by_name: Mapping[str, str]) -> list[str]:
    """What is not as it was signed, a line a file: changed, missing, added, or no plain file."""
    faults = []
    there = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
    there.pop(MANIFEST, None)
    for name, digest in sorted(hash_by_name.items()):
        path = there.pop(name, None)
        if path is None:
            faults.append(f"missing: {name}")
        elif path.is_symlink() or not path.is_file():
            faults.append(f"no plain file: {name}")
        elif file_hash(path) != digest:
            faults.append(f"changed: {name}")
    return [*faults, *(f"added: {name}" for name in there)]
