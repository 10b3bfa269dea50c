"""The service's metrics, read over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import urllib3
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 3.0
Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Values by name and labels.

    Examples
    --------
    >>> now = Figures({("n_total", frozenset({("kind", "a")})): 3.0})
    >>> now.total("n_total"), now.rise(Figures({}), "n_total", kind="b")
    (3.0, 0.0)
    """

    value_by_series: Mapping[Series, float]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series that have these labels."""
        wanted = set(labels.items())
        return sum(
            (v for (n, given), v in self.value_by_series.items() if n == name and wanted <= given), 0.0
        )

    def rise(self, before: "Figures", name: str, **labels: str) -> float:
        """How much it has grown since."""
        return self.total(name, **labels) - before.total(name, **labels)


def read_figures(addresses: Sequence[str]) -> Figures | None:
    """The sum of several workers' metrics; None where one does not answer as it should."""
    values: dict[Series, float] = {}
    for address in addresses:
        try:
            answer = urllib3.request(
                "GET", address, timeout=urllib3.Timeout(TIMEOUT_S), retries=False, redirect=False
            )
            if answer.status != 200:
                return None
            for family in text_string_to_metric_families(answer.data.decode("utf-8")):
                for sample in family.samples:
                    series = (sample.name, frozenset(sample.labels.items()))
                    values[series] = values.get(series, 0.0) + sample.value
        except (urllib3.exceptions.HTTPError, ValueError):
            return None
    return Figures(values)
