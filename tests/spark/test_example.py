"""deploy/spark/inference_table.py, as it stands."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "deploy" / "spark" / "inference_table.py"
pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of py4j
]


@pytest.mark.usefixtures("spark")
def test_the_example_names_the_thief_of_a_table_and_of_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path)])
    cells: dict[str, Any] = runpy.run_path(str(EXAMPLE))
    of_table, of_stream = (
        {row.value for row in each.collect()} for each in (cells["found"].alerts, cells["alerts"])
    )
    assert of_table == of_stream
    assert {json.loads(each)["entity"]["id"] for each in of_table} == {"acct-7f3a"}
    assert "alerts, the first about acct-7f3a" in capsys.readouterr().out
