"""API key ids leave the intake as a keyed HMAC only, so that a stolen alert or snapshot gives no key away."""

import hashlib
import hmac
from collections.abc import Sequence

CACHE_KEYS_MAX = 100_000  # about 20 MB; keys seen again within it cost one dict look-up
HASH_CHARS = 32  # 128 bits: no two keys of any fleet collide


class Pseudonymiser:
    """HMAC-SHA-256 of key ids, cached in a bounded table.

    Parameters
    ----------
    hmac_key : bytes
        The secret; whoever has it can test guesses of key ids. The same key gives the same pseudonyms over
        restarts and workers.

    Examples
    --------
    >>> hide = Pseudonymiser(b"k" * 32)
    >>> hide.hash_many(["key-1", None, "key-1"])[0] == hide.hash_many(["key-1"])[0]
    True
    >>> hide.hash_many([None])
    [None]
    """

    def __init__(self, hmac_key: bytes) -> None:
        self._hmac_key = hmac_key
        self._hash_by_key: dict[str, str] = {}
        # Hashes of inputs tell repeats apart. Were they not keyed, a client could make inputs that collide,
        # and all of them would count as one and the same query.
        self.input_key = hashlib.blake2b(hmac_key, person=b"input hashes", digest_size=8).digest()
        # So are those by which accounts are linked: nobody can make a text that links a rival to himself.
        self.link_key = int.from_bytes(
            hashlib.blake2b(hmac_key, person=b"link hashes", digest_size=8).digest(), "little"
        )
        self._text_key = hashlib.blake2b(hmac_key, person=b"text hashes", digest_size=32).digest()

    def hash_many(self, key_ids: Sequence[str | None]) -> list[str | None]:
        if key_ids.count(None) == len(key_ids):
            return [None] * len(key_ids)
        hash_by_key = self._hash_by_key
        hashes: list[str | None] = []
        for key_id in key_ids:
            if key_id is None:
                hashes.append(None)
                continue
            pseudonym = hash_by_key.get(key_id)
            if pseudonym is None:
                digest = hmac.new(self._hmac_key, key_id.encode(errors="surrogatepass"), hashlib.sha256)
                pseudonym = digest.hexdigest()[:HASH_CHARS]
                if len(hash_by_key) >= CACHE_KEYS_MAX:
                    hash_by_key.clear()  # the whole cache is one HMAC a key away
                hash_by_key[key_id] = pseudonym
            hashes.append(pseudonym)
        return hashes

    def hash_text(self, text: str) -> str:
        """A keyed hash of an id or hash that few records share, 32 hexadecimal digits; not cached."""
        given = text.encode(errors="surrogatepass")
        return hashlib.blake2b(given, key=self._text_key, digest_size=HASH_CHARS // 2).hexdigest()
