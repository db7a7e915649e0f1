"""Do what a Dockerfile says in folders, where no container engine is at hand.

    rehearse.py rehearse FOLDER [--build-arg NAME=VALUE]… [--certificates FILE] [-- COMMAND…]

Each stage becomes a folder: Debian by debootstrap, its RUN lines by chroot. What the rehearsal
proves is that the steps work on an empty Debian; it isolates nothing and makes no image.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCKERFILE = Path(__file__).with_name("Dockerfile")
SHELL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/rehearsal.crt"
_DEBIAN = re.compile(r"debian:(\w+?)(-slim)?$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_TOLD_ONLY = {"VOLUME", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL"}
"""Instructions that change nothing while an image is made."""


@dataclass
class Stage:
    """One FROM of a Dockerfile, on its way."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def read_dockerfile(text: str) -> list[tuple[str, str]]:
    r"""The instructions and what follows each, continued lines joined.

    >>> read_dockerfile("# about\nRUN a \\\n  # no\n  b\nUSER c")
    [('RUN', 'a   b'), ('USER', 'c')]
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    pairs = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in pairs]


def filled(text: str, values: Mapping[str, str]) -> str:
    """Put variables in, as Docker does outside RUN.

    >>> filled("${HERE}/x:$THERE", {"HERE": "/a"})
    '/a/x:'
    """
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], ""), text)


class Rehearsal:
    """The stages of a Dockerfile as folders below one."""

    def __init__(self, folder: Path, arguments: Mapping[str, str], certificates: Path | None):
        self._folder = folder
        self._given = arguments
        self._certificates = certificates
        self._global: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._stage: Stage | None = None

    def do(self, instructions: Sequence[tuple[str, str]]) -> Stage:
        """Do them all; the last stage comes back.

        Raises:
            SystemExit: an instruction that is not known here, or that failed.
        """
        for name, rest in instructions:
            print(f"{name} {rest}", file=sys.stderr, flush=True)
            if name == "FROM":
                self._begin(rest)
            elif name == "ARG":
                self._argument(rest)
            elif name in _TOLD_ONLY:
                continue
            else:
                self._do(name, rest)
        return self._now

    @property
    def _now(self) -> Stage:
        if self._stage is None:
            raise SystemExit("The Dockerfile has no FROM.")
        return self._stage

    def _begin(self, rest: str) -> None:
        image, _, name = filled(rest, self._global).partition(" AS ")
        debian = _DEBIAN.match(image)
        if not debian:
            raise SystemExit(f"Only Debian's own images can be rehearsed, not {image}.")
        name = name or f"stage-{len(self._stages)}"
        root = self._folder / name
        if not (root / "etc/debian_version").exists():
            run(["debootstrap", "--variant=minbase", debian[1], str(root)])
            security = f"deb http://deb.debian.org/debian-security {debian[1]}-security main\n"
            (root / "etc/apt/sources.list.d/security.list").write_text(security)
        self._stage = self._stages[name] = Stage(root=root, environment={"PATH": SHELL_PATH})

    def _argument(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        if self._stage is None:
            self._global[name] = self._given.get(name, default)
        else:
            value = self._given.get(name, default or self._global.get(name, ""))
            self._stage.environment[name] = value

    def _do(self, name: str, rest: str) -> None:
        stage = self._now
        if name == "ENV":
            for word in shlex.split(rest):
                variable, _, value = word.partition("=")
                stage.environment[variable] = filled(value, stage.environment)
        elif name == "RUN":
            self.run(stage, ["/bin/sh", "-c", rest])
        elif name == "COPY":
            self._copy(stage, shlex.split(rest))
        elif name == "USER":
            stage.user = rest
        elif name == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif name == "CMD":
            stage.command = json.loads(rest)
        else:
            raise SystemExit(f"{name} cannot be rehearsed.")

    def _copy(self, stage: Stage, words: list[str]) -> None:
        origin = REPOSITORY
        if words[0].startswith("--from="):
            origin = self._stages[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        inside = stage.root / target.lstrip("/")
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.so")
                skipped = ignored if origin == REPOSITORY else None
                shutil.copytree(path, inside, symlinks=True, dirs_exist_ok=True, ignore=skipped)
            else:
                (inside if target.endswith("/") else inside.parent).mkdir(
                    parents=True, exist_ok=True
                )
                shutil.copy2(path, inside)

    def run(self, stage: Stage, command: Sequence[str]) -> None:
        """Run a command as a stage's user in its folder.

        Raises:
            SystemExit: it failed.
        """
        environment = dict(stage.environment)
        if self._certificates:
            shutil.copy(self._certificates, stage.root / CERTIFICATES.lstrip("/"))
            environment |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), CERTIFICATES)
        shutil.copy("/etc/resolv.conf", stage.root / "etc/resolv.conf")
        who = [] if stage.user == "root" else [f"--userspec={stage.user}"]
        # chroot's own --userspec leaves HOME as it is; an engine sets it.
        environment["HOME"] = "/root" if stage.user == "root" else f"/home/{stage.user}"
        inner = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', stage.folder, *command]
        with mounted(stage.root):
            run(["chroot", *who, str(stage.root), *inner], environment)


@contextmanager
def mounted(root: Path) -> Iterator[None]:
    """Give a root /proc and /dev while commands run in it."""
    with ExitStack() as stack:
        for kind, place in (("proc", "proc"), ("devtmpfs", "dev")):
            run(["mount", "-t", kind, kind, str(root / place)])
            stack.callback(run, ["umount", "--lazy", str(root / place)])
        (root / "dev/shm").mkdir(exist_ok=True)
        yield


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a program.

    Raises:
        SystemExit: it failed.
    """
    code = subprocess.run(command, env=environment or os.environ, check=False).returncode
    if code:
        raise SystemExit(f"{shlex.join(command)} ended with {code}.")


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="scripts/container", description=__doc__)
    parser.add_argument("action", choices=["rehearse"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--certificates", type=Path, help="of a proxy between here and PyPI")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    command = words[end + 1 :]
    options = parser.parse_args(words[:end])
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise SystemExit("This needs root and debootstrap: sudo apt install debootstrap")
    arguments = dict(each.split("=", 1) for each in options.build_arg)
    folder = options.folder.resolve()
    rehearsal = Rehearsal(folder, arguments, options.certificates)
    stage = rehearsal.do(read_dockerfile(DOCKERFILE.read_text(encoding="utf-8")))
    rehearsal.run(stage, [*stage.entrypoint, *(command or stage.command)])


if __name__ == "__main__":
    main()
