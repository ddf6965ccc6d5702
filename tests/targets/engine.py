"""
A real Docker engine for the tests: the one that $TEST_DOCKER_HOST names, which tests may use as they like.

Without it, the long form starts one of its own, on Linux as root: in namespaces of its own, of which nothing is left,
also when it is killed. The tests of the target run in the same namespaces, since its ports are published there; see
`tests.targets.test_on_docker`. It installs what is missing, as scripts/test does. Where that is impossible, these tests
are skipped, and say why.

    python -m tests.targets.engine COMMAND...        runs a command beside an engine of its own
    python -m tests.targets.engine --sid COMMAND...  the same with the newest engine of Debian, from its release sid
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

HOST = "TEST_DOCKER_HOST"
"""The variable that names an engine for the tests."""

PROGRAMS = {
    "dockerd": "docker.io",
    "busybox": "busybox-static",
    "docker-registry": "docker-registry",
    "iptables": "iptables",
    "ip": "iproute2",
    "tini": "tini",
    "curl": "curl",
    "sshd": "openssh-server",
    "openssl": "openssl",
}
"""Programs that an engine of our own and its tests need, with their Debian packages."""

IMAGE = "stageline-test/base:1"
"""The image of the tests' containers: busybox and nothing else."""

APPLETS = (
    *("sh", "cat", "echo", "env", "false", "grep", "head", "httpd", "id", "ip", "kill", "mkdir", "nc", "printf", "rm"),
    *("sed", "seq", "sleep", "test", "touch", "true", "wget"),
)

SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n"
"""The source of packages of Debian's release sid. Nothing of it is installed."""

BESIDE = """
folder=$1; shift
ip link set lo up
mount -t tmpfs tmpfs /run
dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" -H "unix://$folder/docker.sock" \
    > "$folder/log" 2>&1 &
for _ in $(seq 600); do
    curl --fail --silent --unix-socket "$folder/docker.sock" http://docker/_ping > "$folder/ping" && break
    sleep 0.05
done
[ -s "$folder/ping" ] || { cat "$folder/log" >&2; exit 70; }
TEST_DOCKER_HOST="unix://$folder/docker.sock" "$@"
"""
"""A script that starts an engine, and runs a command beside it."""


def missing() -> str | None:
    """Return why there can be no engine of our own, None if there can; install what it needs."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return f"an engine of our own needs Linux and root; name another with {HOST}"
    wanted = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if wanted:
        installed = subprocess.run([ROOT / "scripts/debian-install", *wanted], capture_output=True, text=True)
        if installed.returncode:
            return f"{' '.join(wanted)} can't be installed: {installed.stderr.strip()[-300:]}"
    probe = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    if subprocess.run(probe, capture_output=True).returncode:
        return f"this machine forbids namespaces and mounts; name an engine with {HOST}"
    return None


def beside(*command: str) -> int:
    """Run *command* beside an engine of its own, and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="stageline-engine-", ignore_cleanup_errors=True) as folder:
        for name in ("data", "exec"):
            Path(folder, name).mkdir()
        namespaces = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        return subprocess.run(
            [*namespaces, "tini", "-s", "--", "bash", "-c", BESIDE, "engine", folder, *command]
        ).returncode


def unpack_sid(folder: Path) -> str:
    """Unpack the engine of Debian's release sid and Compose in *folder*; return the value of PATH that finds them.

    runc stays that of this machine.
    """
    for name in ("lists/partial", "cache/archives/partial", "packages", "engine"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(SOURCE)
    settings = {"Dir::Etc::sourcelist": "sources.list", "Dir::State::lists": "lists", "Dir::Cache": "cache"}
    lines = [f'{name} "{folder / file}";\n' for name, file in settings.items()]
    (folder / "apt.conf").write_text("".join([*lines, 'Dir::Etc::sourceparts "-";\n']))
    apt = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    for arguments in (["update"], ["download", "docker.io", "containerd", "docker-compose"]):
        subprocess.run(["apt-get", "--quiet", *arguments], cwd=folder / "packages", env=apt, check=True)
    for package in (folder / "packages").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "engine"], check=True)
    programs = (f"{folder}/engine/usr/{each}" for each in ("sbin", "bin", "libexec/docker/cli-plugins"))
    return ":".join([*programs, os.environ["PATH"]])


def base() -> bytes:
    """Return the content of `IMAGE`, as an archive."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for folder in ("bin", "tmp", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(entry)
        archive.add(Path(busybox).resolve(), "bin/busybox")
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return written.getvalue()


if __name__ == "__main__":
    if (why := missing()) is not None:
        sys.exit(why)
    with tempfile.TemporaryDirectory(prefix="stageline-sid-") as unpacked:
        command = sys.argv[1:]
        if command[:1] == ["--sid"]:
            os.environ["PATH"] = unpack_sid(Path(unpacked))
            command = command[1:]
        sys.exit(beside(*command))
