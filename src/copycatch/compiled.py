"""The one door to numba: compiled code is cached in a folder of exactly these sources and this machine.

Numba looks only at the file that defines a function. An edited callee or constant of another file would be
found in the cache as it was, inside its callers; so the folder's name holds a hash of all files that a kernel
can see, of numba's version and of the processor.

The folder lies in NUMBA_CACHE_DIR, or in the user's cache. It holds machine code and pickles: whoever can
write it runs code as this process. So it is used only if nobody else can, and lies apart from the state.

No kernel uses fastmath: its sums depend on how wide the processor's vectors are, and are compared
with thresholds.
"""

import atexit
import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numba

PACKAGE: Final = Path(__file__).parent
PREFIX: Final = "copycatch-"
IN_USE: Final = ".in-use"  # locked by every process that has kernels of the folder
FOLDERS_KEPT: Final = 8  # of other versions, in case one goes back to them
# A cache that came with the installation (the image has one): copied where it can be written, if it fits.
SHIPPED: Final = Path(sys.prefix) / "share" / "copycatch" / "numba"

_IMPORT = re.compile(
    r"^\s*(?:from\s+(copycatch[\w.]*)\s+import\s+(\([^)]*\)|[^\n#]*)|import\s+(copycatch[\w.]+))",
    re.MULTILINE,
)
_locks: list[int] = []
_config: Any = numba.config


def _njit(**options: Any) -> Any:
    """`numba.njit`, cached in this version's folder.

    Examples
    --------
    >>> @njit()
    ... def double(x):
    ...     return 2 * x
    >>> double(21)
    42
    """

    def compiled(function: Any) -> Any:
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(cache_folder())
        try:
            return numba.njit(**options)(function)
        finally:
            _config.CACHE_DIR = before

    return compiled


njit: Any = _njit  # as untyped as numba's own: what it makes has types of its own


def kernel_sources(package: Path = PACKAGE) -> list[Path]:
    """Files with kernels, and all files of the package that they import, directly or not."""
    text_by_module = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        text_by_module[".".join(parts).removesuffix(".__init__")] = (path, path.read_text("utf-8"))
    door = f"from {package.name}.compiled import njit"
    open_ends = [module for module, (_, text) in text_by_module.items() if door in text]
    found: set[str] = set()
    while open_ends:
        module = open_ends.pop()
        if module in found or module not in text_by_module:
            continue
        found.add(module)
        for source, names, whole in _IMPORT.findall(text_by_module[module][1]):
            open_ends.append(source or whole)
            open_ends += [f"{source}.{name}" for name in re.findall(r"\w+", names)]
    return [text_by_module[module][0] for module in sorted(found)]


def processor() -> str:
    """What the machine code is made for: what numba was told, else this machine's model and abilities."""
    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    if name and (features is not None or name.lower() == "generic"):
        return f"{platform.machine()} {name} {features}"
    info = Path("/proc/cpuinfo")
    first = info.read_text("utf-8", "replace").split("\n\n")[0].splitlines() if info.exists() else []
    abilities = [line for line in first if line.startswith(("model name", "flags", "Features", "CPU "))]
    return f"{platform.machine()} {platform.processor()} {name} {features} {abilities}"


def stamp(package: Path = PACKAGE) -> str:
    """Which sources, numba and processor the compiled code is of, and whether it checks its indices."""
    checks = os.environ.get("NUMBA_BOUNDSCHECK", "")
    digest = hashlib.sha256(f"{version('numba')} {processor()} {checks}".encode())
    for path in kernel_sources(package):
        digest.update(f"\n{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def cache_folder() -> Path:
    """Where compiled code of this version is kept; made if it is not there."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    try:
        base = Path(named) if named else _cache_of_user() / "copycatch" / "numba"
        return _taken(base / (PREFIX + stamp()))
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="copycatch-numba-"))
        if named:
            message = (
                f"NUMBA_CACHE_DIR: {error}; everything is compiled anew in {folder}, which takes a minute"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        atexit.register(_remove_own, folder, os.getpid())
        return _taken(folder / (PREFIX + stamp()))


def _cache_of_user() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError as error:  # a number that no one has, as a cluster may give to a container
        message = "this user has no home"
        raise FileNotFoundError(message) from error


def _taken(folder: Path) -> Path:
    """The folder, made, checked, and marked as in use while this process lives.

    Raises
    ------
    OSError
        If it cannot be written, or others can write it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        is_new = not folder.exists()
        if is_new:
            _make(folder)
        state = folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o022:
            message = f"{folder} is not this user's alone: compiled code that others can write is not loaded"
            raise PermissionError(message)
        lock = os.open(folder / IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if (folder / IN_USE).exists():  # else another process has just removed it
            break
        os.close(lock)
    _locks.append(lock)
    os.utime(folder)
    if is_new:
        _prune(folder)
    return folder


def _make(folder: Path) -> None:
    """Make it as a whole: nobody may find half of what was shipped."""
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    shipped = SHIPPED / folder.name
    try:
        if shipped.is_dir():
            _copy(shipped, draft)
        draft.chmod(0o755)  # an image is built by one user and run by another, who copies it
        draft.rename(folder)
    except OSError:
        shutil.rmtree(draft)
        if not folder.is_dir():  # else another process was quicker
            raise


def _copy(shipped: Path, draft: Path) -> None:
    try:
        shutil.copytree(shipped, draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns(IN_USE))
    except (OSError, shutil.Error) as error:
        message = f"{shipped} cannot be read ({error}); everything is compiled anew, which takes a minute"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    for path in [draft, *draft.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)  # numba uses no folder that it cannot write to, and an image may be read-only


def _prune(current: Path) -> None:
    """Remove what other versions left, but for the newest few and those in use."""
    others = [each for each in current.parent.glob(PREFIX + "[0-9a-f]" * 16) if each != current]
    others.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for folder in others[FOLDERS_KEPT:]:
        try:
            lock = os.open(folder / IN_USE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # not one of ours, or being removed by another process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(lock)


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(folder, ignore_errors=True)
