"""What a running service shows of itself over its live pages, for who has the token."""

from typing import NamedTuple

import urllib3

from copycatch.errors import ConfigError, TransportError

TIMEOUT_S = 10.0
LEFT_OUT_HEADER = "Copycatch-Left-Out"


class Answer(NamedTuple):
    """A body, and how many older entries the service holds no more."""

    body: bytes
    n_left_out: int


class DeskClient:
    """Asks one service; connections are kept.

    Parameters
    ----------
    url : str
        Where its live pages are, as http://127.0.0.1:9465.
    token : str
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token
        self._pool = urllib3.PoolManager(num_pools=1, timeout=TIMEOUT_S, retries=False)

    def get(self, path: str) -> Answer:
        """What stands under the path.

        Raises
        ------
        ConfigError
            If the URL is no address.
        TransportError
            If nobody answers there, or not with what was asked for.
        """
        address = f"{self._url}{path}"
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = self._pool.request("GET", address, headers=headers, redirect=False)
        except (urllib3.exceptions.LocationValueError, urllib3.exceptions.URLSchemeUnknown) as error:
            msg = f"{self._url}: is no address; write http://127.0.0.1:9465"
            raise ConfigError(msg) from error
        except urllib3.exceptions.HTTPError as error:
            msg = f"{address}: no answer; does the service run, with desk.is_on?"
            raise TransportError(msg) from error
        if answer.status != 200:
            remedy = "the token is another one" if answer.status == 401 else "is that the port of the desk?"
            msg = f"{address}: answered {answer.status}; {remedy}"
            raise TransportError(msg)
        left_out = answer.headers.get(LEFT_OUT_HEADER, "0")
        return Answer(answer.data, int(left_out) if left_out.isdigit() else 0)
