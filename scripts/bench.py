#!/usr/bin/env python3
"""Compares kmodforge with what people write by hand, on this machine, and measures it against its own bars.

    scripts/bench.py                      everything: a table on stdout, the figures in bench/results.json
    scripts/bench.py usual tuned          some of: usual single tuned kmodforge scale sign verify start release

usual      docker buildx bake, one copied Dockerfile per kernel: build stage, and an image from debian with kmod and the module
single     the same in one stage, so compiler and headers stay in the image
tuned      docker buildx bake, by someone who knows BuildKit: shared toolchain and runtime stages, one apt-get update
kmodforge  the release binary
scale      plan of 10,000 kernels x 5 drivers; plan of 1,000 published targets against a registry
sign       an image of 1,000 modules of 100 kB, signed with an RSA-4096 key in a file
verify     an image of the size of nvidia-open in an OCI layout: five modules of 17 MB together, 62 MB of firmware; its kernel seen before
start      time of --version, size of the binary
release    a clean `cargo build --release` (not part of everything)

Six bookworm kernels of v4l2loopback. Cold: an Engine and a registry that have never seen anything but the base image in the
registry. Warm: the same command again, on the same. Sources and base image are local in each case; packages come from the mirror.
"""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
BINARY = Path(os.environ.get("KMODFORGE_BINARY", ROOT / "target" / "release" / "kmodforge"))
TOOLS = Path(os.environ.get("KMODFORGE_TOOLS", Path.home() / ".cache" / "kmodforge-tools"))
KERNELS = 6
SCALE_DRIVERS = ["v4l2loopback", "zfs", "nvidia-open", "r8125", "jool"]
MANIFEST_TYPES = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)

USUAL = """\
FROM {base} AS build
ARG KERNEL
RUN apt-get update && apt-get install -y build-essential kmod linux-headers-${{KERNEL}}
COPY source /usr/src/v4l2loopback
RUN make -C /lib/modules/${{KERNEL}}/build M=/usr/src/v4l2loopback modules \\
 && install -D -m 644 /usr/src/v4l2loopback/v4l2loopback.ko /opt/lib/modules/${{KERNEL}}/extra/v4l2loopback.ko \\
 && depmod -b /opt ${{KERNEL}}

FROM {base}
ARG KERNEL
RUN apt-get update && apt-get install -y kmod
COPY --from=build /opt/lib/modules/${{KERNEL}} /opt/lib/modules/${{KERNEL}}
CMD ["sleep", "infinity"]
"""

SINGLE = """\
FROM {base}
ARG KERNEL
RUN apt-get update && apt-get install -y build-essential kmod linux-headers-${{KERNEL}}
COPY source /usr/src/v4l2loopback
RUN make -C /lib/modules/${{KERNEL}}/build M=/usr/src/v4l2loopback modules \\
 && install -D -m 644 /usr/src/v4l2loopback/v4l2loopback.ko /opt/lib/modules/${{KERNEL}}/extra/v4l2loopback.ko \\
 && depmod -b /opt ${{KERNEL}}
CMD ["sleep", "infinity"]
"""

TUNED = """\
FROM {base} AS apt
RUN apt-get update

FROM apt AS toolchain
RUN apt-get install -y --no-install-recommends gcc-12 make libc6-dev kmod

FROM toolchain AS build
ARG KERNEL
RUN apt-get install -y --no-install-recommends linux-headers-${{KERNEL}}
COPY source /usr/src/v4l2loopback
RUN make -C /lib/modules/${{KERNEL}}/build M=/usr/src/v4l2loopback modules \\
 && install -D -m 644 /usr/src/v4l2loopback/v4l2loopback.ko /opt/lib/modules/${{KERNEL}}/extra/v4l2loopback.ko \\
 && depmod -b /opt ${{KERNEL}}

FROM {base} AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends kmod && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/*

FROM runtime
ARG KERNEL
COPY --from=build /opt/lib/modules/${{KERNEL}} /opt/lib/modules/${{KERNEL}}
CMD ["sleep", "infinity"]
"""

BAKED = {"usual": USUAL, "single": SINGLE, "tuned": TUNED}


# --- the machine's Debian mirror ------------------------------------------------------------------------------------------


class Mirror:
    """Where apt on this machine gets Debian from."""

    def __init__(self):
        text = subprocess.run([ROOT / "scripts" / "mirrors.sh"], check=True, capture_output=True, text=True).stdout
        self.main, self.security = re.findall(r'": "(http[^"]*)"', text)

    def packages(self, base, suite):
        """The stanzas of a suite's amd64 index."""
        compressed = fetch(f"{base}/dists/{suite}/main/binary-amd64/Packages.xz")
        text = subprocess.run(["xz", "-dc"], input=compressed, check=True, capture_output=True).stdout.decode()
        return text.split("\n\n")


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def field(stanza, name):
    return re.search(rf"^{name}: (.*)$", stanza, re.M).group(1)


def newest_kernels(stanzas):
    pattern = re.compile(r"^Package: linux-headers-(6\.1\.0-(\d+)-amd64)$", re.M)
    found = {match.group(1): int(match.group(2)) for stanza in stanzas for match in pattern.finditer(stanza)}
    return sorted(found, key=found.get)[-KERNELS:]


def unpack_source(mirror, stanzas, directory):
    """Unpacks v4l2loopback as Debian has it; gives its version."""
    stanza = next(stanza for stanza in stanzas if re.search(r"^Package: v4l2loopback-dkms$", stanza, re.M))
    data = fetch(f"{mirror.main}/{field(stanza, 'Filename')}")
    if hashlib.sha256(data).hexdigest() != field(stanza, "SHA256"):
        sys.exit("error: the package v4l2loopback-dkms is damaged")
    package = directory / "dkms.deb"
    package.write_bytes(data)
    subprocess.run(["dpkg-deb", "-x", package, directory / "unpacked"], check=True)
    (source,) = (directory / "unpacked" / "usr" / "src").glob("v4l2loopback-*")
    return source, source.name.removeprefix("v4l2loopback-")


# --- running and measuring ------------------------------------------------------------------------------------------------


# A child's peak memory starts at that of the process it was forked from, so a small one starts it.
STARTER = """
import os, sys, time
start = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - start
with open(sys.argv[1], "w") as out:
    print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=out)
"""


def measure(command, *, cwd, env, log):
    """Wall seconds, CPU seconds and peak memory in MB of a client; of the client only, never of a daemon."""
    figures = Path(f"{log}.figures")
    with open(log, "ab") as out:
        starter = [sys.executable, "-I", "-S", "-c", STARTER, figures, *command]
        subprocess.run(starter, check=True, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    status, wall, cpu, memory = map(float, figures.read_text().split())
    if status != 0:
        sys.stderr.write(Path(log).read_text(errors="replace")[-4000:])
        sys.exit(f"error: {' '.join(map(str, command[:3]))} … ended with {status:.0f}")
    return {"wall_s": round(wall, 4), "cpu_s": round(cpu, 3), "rss_mb": round(memory, 1)}


class Stack:
    """A private Docker Engine and registry, with the base image in the registry."""

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="kmodforge-bench."))
        self.directory.rmdir()
        self.call("start", self.directory, "--docker", "--base", "bookworm")
        self.env = dict(line.split("=", 1) for line in (self.directory / "env").read_text().split())
        self.registry = Registry(self.env["KMODFORGE_TEST_REGISTRY"], self.directory / "registry")
        self.mirrors = Path(self.env["KMODFORGE_TEST_MIRRORS"]).read_text()
        return self

    def __exit__(self, *_):
        self.call("stop", self.directory)

    @staticmethod
    def call(*arguments):
        subprocess.run([ROOT / "scripts" / "stack.sh", *arguments], check=True)

    def client_env(self, home):
        return os.environ | {
            "DOCKER_HOST": self.env["KMODFORGE_TEST_DOCKER"],
            "HOME": str(home),
            "KMODFORGE_CACHE": str(home / "cache"),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }


class Registry:
    def __init__(self, address, storage):
        self.address, self.storage = address, storage
        self.base = self.stored()

    def stored(self):
        return sum(path.stat().st_size for path in self.storage.rglob("*") if path.is_file())

    def added(self):
        """Bytes of registry storage beyond the base image."""
        return self.stored() - self.base

    def get(self, path):
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": MANIFEST_TYPES})
        with urllib.request.urlopen(request) as response:
            return response.read(), response.headers["Content-Type"]

    def blobs(self, repository, tag):
        """Digest to size of everything an image of one platform consists of, its manifest included."""
        body, _ = self.get(f"{repository}/manifests/{tag}")
        manifest = json.loads(body)
        found = {"sha256:" + hashlib.sha256(body).hexdigest(): len(body)}
        for inner in manifest.get("manifests", []):
            found |= self.blobs(repository, inner["digest"])
        for part in [*manifest.get("layers", []), *([manifest["config"]] if "config" in manifest else [])]:
            found[part["digest"]] = part["size"]
        return found

    def sizes(self, repository):
        """(bytes of the first image beyond the base, bytes that each further one adds on average)."""
        known = self.blobs("library/debian", "bookworm")
        grown = []
        for tag in sorted(json.loads(self.get(f"{repository}/tags/list")[0])["tags"]):
            blobs = self.blobs(repository, tag)
            grown.append(sum(size for digest, size in blobs.items() if digest not in known))
            known |= blobs
        return grown[0], round(statistics.mean(grown[1:]))

    def copy_tags(self, repository, tag, tags):
        body, kind = self.get(f"{repository}/manifests/{tag}")
        for name in tags:
            url = f"http://{self.address}/v2/{repository}/manifests/{name}"
            urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": kind})).close()


# --- the contenders -------------------------------------------------------------------------------------------------------


def prepare_bake(name, stack, case, work):
    base = f"{stack.registry.address}/library/debian:bookworm"
    shutil.copytree(case.source, work / "source")
    (work / "Dockerfile").write_text(BAKED[name].format(base=base))
    targets = {
        kernel.replace(".", "_"): {
            "context": ".",
            "args": {"KERNEL": kernel},
            "tags": [f"{stack.registry.address}/{case.repository}:{case.version}-{kernel}"],
        }
        for kernel in case.kernels
    }
    (work / "docker-bake.json").write_text(json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets}))
    return [TOOLS / "bin" / "docker-buildx", "bake", "--push", "--progress", "plain"]


def prepare_kmodforge(_, stack, case, work):
    (work / "kmodforge.yaml").write_text(f"repository: {stack.registry.address}/drivers\n{stack.mirrors}")
    kernels = [argument for kernel in case.kernels for argument in ("--kernel", kernel)]
    driver = f"v4l2loopback@{case.version}"
    return [BINARY, "build", "--driver", driver, "--distro", "debian:bookworm", *kernels, "--builder", "docker", "--push", "--progress", "plain"]


class Case:
    """What every contender builds."""

    repository = "drivers/v4l2loopback"

    def __init__(self, mirror, directory):
        self.stanzas = mirror.packages(mirror.main, "bookworm") + mirror.packages(mirror.security, "bookworm-security")
        self.kernels = newest_kernels(self.stanzas)
        self.source, self.version = unpack_source(mirror, self.stanzas, directory)


def contend(name, stack, case, directory):
    """One contender, cold and warm, on an Engine and a registry of its own."""
    work = directory / name
    work.mkdir()
    log = directory / f"{name}.log"
    prepare = prepare_bake if name in BAKED else prepare_kmodforge
    command = prepare(name, stack, case, work)
    run = {"cwd": work, "env": stack.client_env(work / "home"), "log": log}
    (work / "home").mkdir()
    result = {"cold": measure(command, **run), "stored_bytes": stack.registry.added()}
    result["warm"] = measure(command, **run)
    result["first_image_bytes"], result["next_kernel_bytes"] = stack.registry.sizes(case.repository)
    if name == "kmodforge":
        result["published_1000"] = plan_published(stack, case, work, run)
    return result


# --- scale ----------------------------------------------------------------------------------------------------------------


def suite(base, name, packages):
    """The files of a suite with these stanzas, by path."""
    index = gzip.compress(packages.encode(), 1)
    path = "main/binary-amd64/Packages.gz"
    release = f"Suite: {name}\nCodename: {name}\nArchitectures: amd64\nComponents: main\nSHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} {path}\n"
    return {f"{base}/dists/{name}/Release": release.encode(), f"{base}/dists/{name}/{path}": index}


class FakeArchive:
    """Bookworm with thousands of kernels more, on loopback."""

    def __init__(self, stanzas, like, count):
        number = like.split("-")[1]
        names = {f"linux-headers-{like}", f"linux-headers-6.1.0-{number}-common", f"linux-image-{like}"}
        models = [stanza for stanza in stanzas if stanza.startswith("Package: ") and stanza.split("\n", 1)[0][9:] in names]
        self.kernels = [f"6.1.0-{n}-amd64" for n in range(1000, 1000 + count)]
        clones = (re.sub(rf"6\.1\.0-{number}\b", f"6.1.0-{n}", model) for n in range(1000, 1000 + count) for model in models)
        others = [stanza for stanza in stanzas if stanza.strip()]
        self.files = suite("/debian", "bookworm", "\n\n".join([*others, *clones]) + "\n")
        for base, name in (("/debian", "bookworm-updates"), ("/debian", "bookworm-backports"), ("/security", "bookworm-security")):
            self.files |= suite(base, name, "")

    def __enter__(self):
        files = self.files

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.mirrors = (
            f'mirrors:\n  packages:\n    "http://ftp.debian.org/debian": {{url: "{address}/debian", trusted: true}}\n'
            f'    "http://security.debian.org/debian-security": {{url: "{address}/security", trusted: true}}\n'
        )
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def plan_command(work, archive, drivers, *extra):
    """The command that plans for the archive's kernels; the project file beside it leads there."""
    work.mkdir(exist_ok=True)
    (work / "kernels").write_text("\n".join(archive.kernels) + "\n")
    named = [argument for driver in drivers for argument in ("--driver", driver)]
    return [BINARY, "plan", *named, "--distro", "debian:bookworm", "--kernels-from", "kernels", "--format", "json", *extra]


def plan_synthetic(case, directory):
    """Plan of 10,000 kernels x 5 drivers: with an empty cache (index fetched and read), and again."""
    work = directory / "scale"
    with FakeArchive(case.stanzas, case.kernels[-1], 10_000) as archive:
        command = plan_command(work, archive, SCALE_DRIVERS, "--no-registry")
        (work / "kmodforge.yaml").write_text(f"repository: 127.0.0.1:9/drivers\n{archive.mirrors}")
        run = {"cwd": work, "env": os.environ | {"KMODFORGE_CACHE": str(work / "cache")}, "log": directory / "scale.log"}
        return {"first": measure(command, **run), "again": measure(command, **run)}


def plan_published(stack, case, work, run):
    """Plan of 1,000 targets whose tags all exist: one look each at the registry."""
    with FakeArchive(case.stanzas, case.kernels[-1], 1_000) as archive:
        stack.registry.copy_tags(case.repository, f"{case.version}-{case.kernels[-1]}", [f"{case.version}-{kernel}" for kernel in archive.kernels])
        work = work / "published"
        command = plan_command(work, archive, [f"v4l2loopback@{case.version}"])
        (work / "kmodforge.yaml").write_text(f"repository: {stack.registry.address}/drivers\n{archive.mirrors}")
        run = run | {"cwd": work}
        measure(command, **run)
        return measure(command, **run)


def modules_layout(folder, count, size):
    """An OCI layout with one image of so many modules, which do not compress: what matters is their ELF magic."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for number in range(count):
            entry = tarfile.TarInfo(f"opt/lib/modules/6.1.0-1-amd64/extra/m{number}.ko")
            entry.size = size
            archive.addfile(entry, io.BytesIO(b"\x7fELF" + os.urandom(size - 4)))
    layer = blob(tar.getvalue(), "layer.v1.tar")
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    manifest = {"schemaVersion": 2, "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": [layer]}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json") | {"annotations": {"org.opencontainers.image.ref.name": "bench"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def sign_modules(directory):
    work = directory / "sign"
    modules_layout(work / "layout", 1_000, 100_000)
    subject = ["-subj", "/CN=bench", "-days", "2"]
    key = ["-newkey", "rsa:4096", "-nodes", "-keyout", work / "key.pem", "-out", work / "cert.pem"]
    subprocess.run(["openssl", "req", "-x509", *subject, *key], check=True, stderr=subprocess.DEVNULL)
    command = [BINARY, "sign", "oci:layout", "--sign-key", "key.pem", "--sign-cert", "cert.pem"]
    return measure(command, cwd=work, env=os.environ, log=directory / "sign.log")


def verify_image(case, directory):
    """The checks of an image like nvidia-open's, without its compiler: modules of that size are made of an empty one. Needs a builder once."""
    work = directory / "verify"
    kernel = case.kernels[-1]
    with Stack() as stack:
        (work / "home").mkdir(parents=True)
        (work / "kmodforge.yaml").write_text(f"repository: {stack.registry.address}/drivers\n{stack.mirrors}")
        run = {"cwd": work, "env": stack.client_env(work / "home"), "log": directory / "verify.log"}
        driver = f"v4l2loopback@{case.version}"
        build = [BINARY, "build", "--driver", driver, "--distro", "debian:bookworm", "--kernel", kernel, "--builder", "docker", "--output", "oci:small"]
        measure(build, **run)
        sizes = large_layout(work / "small", work / "large")
        # Once to let the builder tell about the kernel; it is remembered from then on.
        command = [BINARY, "verify", "oci:large", "--kernel", kernel, "--distro", "debian:bookworm"]
        measure(command, **run)
        runs = [measure(command, **run) for _ in range(5)]
        return {"wall_s": statistics.median(one["wall_s"] for one in runs), "rss_mb": max(one["rss_mb"] for one in runs)} | sizes


# In MB: nvidia-open's modules are 17 together without debugging information, its two firmware files 62. As long as the name of the module that they are made of.
NVIDIA = {"nvidia_core0": 11.7, "nvidia_uvm_0": 3.2, "nvidia_mode0": 1.8, "nvidia_drm_0": 0.2, "nvidia_peer0": 0.1}
NVIDIA_FIRMWARE = 31


def large_layout(small, large):
    """Copies a layout, with firmware and with modules that were made large by a section of noise."""
    shutil.copytree(small, large)
    blobs = large / "blobs" / "sha256"

    def read(digest):
        return (blobs / digest.removeprefix("sha256:")).read_bytes()

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    manifest = json.loads(read(json.loads((large / "index.json").read_text())["manifests"][0]["digest"]))
    if "manifests" in manifest:
        manifest = json.loads(read(manifest["manifests"][0]["digest"]))
    module, folder = None, None
    for layer in manifest["layers"]:
        tar = subprocess.run(["zstd", "-dcq"], input=read(layer["digest"]), check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for entry in archive:
                if entry.name.endswith(".ko"):
                    module, folder = archive.extractfile(entry).read(), os.path.dirname(entry.name)
    files = {}
    with tempfile.TemporaryDirectory() as name:
        for part, megabytes in NVIDIA.items():
            plain, noise, made = (Path(name) / file for file in ("plain.ko", "noise", "made.ko"))
            plain.write_bytes(module.replace(b"v4l2loopback", part.encode()))
            # Code compresses to about a third.
            noise.write_bytes(b"".join(os.urandom(1 << 10) + bytes(2 << 10) for _ in range(int(megabytes * 1e6) // 3072)))
            subprocess.run(["objcopy", "--add-section", f".bench={noise}", plain, made], check=True)
            files[f"{folder}/{part}.ko"] = made.read_bytes()
    files[f"{folder.rsplit('/', 1)[0]}/modules.dep"] = "".join(f"extra/{part}.ko:\n" for part in NVIDIA).encode()
    files |= {f"firmware/nvidia/gsp_{part}.bin": os.urandom(NVIDIA_FIRMWARE * 1_000_000) for part in ("tu10x", "ga10x")}
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    layer = subprocess.run(["zstd", "-cq", "-3"], input=tar.getvalue(), check=True, capture_output=True).stdout
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = {"schemaVersion": 2, "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": [blob(layer, "layer.v1.tar+zstd")]}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json") | {"annotations": {"org.opencontainers.image.ref.name": "bench"}}
    (large / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return {"image_bytes": len(layer), "tar_bytes": len(tar.getvalue())}


def start_time(directory):
    runs = [measure([BINARY, "--version"], cwd=directory, env=os.environ, log=directory / "start.log")["wall_s"] for _ in range(30)]
    return {"version_s": statistics.median(runs), "binary_bytes": BINARY.stat().st_size}


def release_build(directory):
    env = os.environ | {"CARGO_TARGET_DIR": str(directory / "target")}
    return measure(["cargo", "build", "--release", "--locked"], cwd=ROOT, env=env, log=directory / "release.log")


# --- the report -----------------------------------------------------------------------------------------------------------


def bars(results):
    """(what, measured, bar, met) for each bar whose figures are there."""

    def value(*path):
        found = results
        for part in path:
            found = (found or {}).get(part)
        return found

    def ratio(path, name):
        ours, theirs = value("kmodforge", *path), value(name, *path)
        return None if ours is None or theirs is None else ours / theirs

    rows = [
        ("6 kernels cold, wall, of usual", ratio(("cold", "wall_s"), "usual"), 0.25, ""),
        ("6 kernels cold, wall, of single", ratio(("cold", "wall_s"), "single"), 0.25, ""),
        ("6 kernels cold, wall, of tuned", ratio(("cold", "wall_s"), "tuned"), 0.80, ""),
        ("6 kernels, all skipped", value("kmodforge", "warm", "wall_s"), 0.5, "s"),
        ("1,000 published targets", value("kmodforge", "published_1000", "wall_s"), 5, "s"),
        ("stored bytes of 6 kernels, of usual", ratio(("stored_bytes",), "usual"), 0.03, ""),
        ("stored bytes of 6 kernels, of single", ratio(("stored_bytes",), "single"), 0.03, ""),
        ("each further kernel", scaled(value("kmodforge", "next_kernel_bytes"), 1e3), 100, "kB"),
        ("one whole image", scaled(value("kmodforge", "first_image_bytes"), 1e6), 6, "MB"),
        ("plan of 50,000 targets", value("scale", "again", "wall_s"), 3, "s"),
        ("plan of 50,000 targets, memory", value("scale", "again", "rss_mb"), 400, "MB"),
        ("1,000 modules signed, RSA-4096", value("sign", "wall_s"), 10, "s"),
        ("verify of an image like nvidia-open", value("verify", "wall_s"), 1, "s"),
        ("release binary", scaled(value("start", "binary_bytes"), 1e6), 25, "MB"),
        ("--version", scaled(value("start", "version_s"), 1e-3), 20, "ms"),
        ("clean release build", value("release", "wall_s"), 300, "s"),
    ]
    return [(what, measured, bar, unit) for what, measured, bar, unit in rows if measured is not None]


def scaled(number, unit):
    return None if number is None else number / unit


def print_report(results):
    print(f"{'':11}{'cold s':>9}{'warm s':>9}{'client cpu s':>14}{'client MB':>11}{'stored MB':>11}{'first MB':>10}{'next kB':>10}")
    for name in (*BAKED, "kmodforge"):
        if name in results:
            row = results[name]
            print(
                f"{name:11}{row['cold']['wall_s']:9.1f}{row['warm']['wall_s']:9.2f}{row['cold']['cpu_s']:14.2f}{row['cold']['rss_mb']:11.0f}"
                f"{row['stored_bytes'] / 1e6:11.2f}{row['first_image_bytes'] / 1e6:10.2f}{row['next_kernel_bytes'] / 1e3:10.0f}"
            )
    rows = bars(results)
    if rows:
        print(f"\n{'bar':40}{'measured':>12}{'bar':>9}")
    for what, measured, bar, unit in rows:
        print(f"{what:40}{measured:12.3f}{bar:9} {unit:3}{'met' if measured <= bar else 'NOT MET'}")


def main(names):
    known = [*BAKED, "kmodforge", "scale", "sign", "verify", "start", "release"]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{__doc__}\nerror: unknown part `{unknown[0]}`")
    names = names or [name for name in known if name != "release"]
    if not BINARY.exists() and set(names) & {"kmodforge", "scale", "sign", "verify", "start"}:
        sys.exit(f"error: {BINARY} is not there\n  help  make build")
    # Parts that are not asked for keep their last figures, so that one can be repeated alone.
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    # Engines go when everything is measured: a file system can be slow at new files for minutes after many were deleted (ext4
    # without a journal passes over inodes that were in use lately).
    with contextlib.ExitStack() as engines, tempfile.TemporaryDirectory(prefix="kmodforge-bench.") as name:
        directory = Path(name)
        case = Case(Mirror(), directory)
        results["kernels"], results["driver"] = case.kernels, f"v4l2loopback {case.version}"
        for part in names:
            print(f"bench: {part}", file=sys.stderr)
            if part == "scale":
                results[part] = plan_synthetic(case, directory)
            elif part == "sign":
                results[part] = sign_modules(directory)
            elif part == "verify":
                results[part] = verify_image(case, directory)
            elif part == "start":
                results[part] = start_time(directory)
            elif part == "release":
                results[part] = release_build(directory)
            else:
                results[part] = contend(part, engines.enter_context(Stack()), case, directory)
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print_report(results)


if __name__ == "__main__":
    main(sys.argv[1:])
