"""A real Spark on this machine, where the extra is installed."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import no_server
from tests.spark.records import settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Two cores, state in RocksDB."""
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        no_server("spark", f"{error}; pip install 'copycatch[spark]'")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = f"{ROOT / 'src'}:{ROOT}"  # of the executors' Python
    try:
        session = settings(SparkSession.builder).getOrCreate()
    except PySparkRuntimeError as error:
        no_server("spark", f"{error}; it needs Java 17")
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
