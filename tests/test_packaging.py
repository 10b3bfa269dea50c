"""What `pip install copycatch` brings: the wheel holds every data file that the package reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"


def test_the_wheel_holds_all_code_and_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "copycatch").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    mappings = {f"copycatch/mappings/{path.name}" for path in (ROOT / "deploy" / "mappings").glob("*.yaml")}
    assert len(mappings) >= 6
    assert mappings <= packed
    assert "copycatch/redteam/grammars/shop_intents.json" in wanted
    assert not wanted - packed, f"not in the wheel: {sorted(wanted - packed)}"
