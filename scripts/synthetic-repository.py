#!/usr/bin/env python3
"""A Debian bookworm with thousands of kernels, served on loopback: for measuring how kmodforge plans.

    scripts/synthetic-repository.py --kernels 10000 --project DIR

writes DIR/kmodforge.yaml, whose mirrors lead here, prints its address and serves until it is stopped. The packages themselves
do not exist: a plan fetches none.
"""

import argparse
import gzip
import hashlib
import http.server
import pathlib

VERSION = "6.1.192-1"
RUNTIME = ["kmod", "libkmod2", "libzstd1", "liblzma5", "libssl3", "zlib1g", "libc6", "dash", "busybox-static"]
COMPILERS = ["gcc-12", "gcc-12-aarch64-linux-gnu"]


def stanza(name, arch="amd64", version=VERSION, depends=""):
    digest = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    lines = [f"Package: {name}", f"Version: {version}", f"Architecture: {arch}"]
    if depends:
        lines.append(f"Depends: {depends}")
    return "\n".join([*lines, f"Filename: pool/main/l/linux/{name}_{version}_{arch}.deb", "Size: 1000", f"SHA256: {digest}", ""])


def kernel(number):
    """The packages of one kernel, as linux 6.1 of bookworm has them."""
    release = f"6.1.0-{number}"
    depends = f"linux-headers-{release}-common (= {VERSION}), linux-kbuild-6.1 (>= {VERSION}), linux-compiler-gcc-12-x86"
    yield stanza(f"linux-headers-{release}-amd64", depends=depends)
    yield stanza(f"linux-headers-{release}-common", arch="all")


def index(kernels):
    stanzas = [stanza("linux-kbuild-6.1"), stanza("linux-compiler-gcc-12-x86"), *map(stanza, RUNTIME + COMPILERS)]
    for number in range(1000, 1000 + kernels):
        stanzas.extend(kernel(number))
    return "\n".join(stanzas).encode()


def files(kernels):
    """What the server has, by path."""
    packed = gzip.compress(index(kernels), 1)
    path = "main/binary-amd64/Packages.gz"
    release = f"Suite: bookworm\nArchitectures: amd64\nSHA256:\n {hashlib.sha256(packed).hexdigest()} {len(packed)} {path}\n"
    # The first repository of a release must be there; this one is empty.
    empty = gzip.compress(b"", 1)
    security = f"Suite: bookworm-security\nArchitectures: amd64\nSHA256:\n {hashlib.sha256(empty).hexdigest()} {len(empty)} {path}\n"
    return {
        "/debian/dists/bookworm/Release": release.encode(),
        f"/debian/dists/bookworm/{path}": packed,
        "/security/dists/bookworm-security/Release": security.encode(),
        f"/security/dists/bookworm-security/{path}": empty,
    }


def server(found):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = found.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kernels", type=int, default=10_000, help="how many kernels (default: 10000)")
    arguments.add_argument("--project", type=pathlib.Path, required=True, help="folder for a kmodforge.yaml that leads here")
    options = arguments.parse_args()
    serving = server(files(options.kernels))
    address = f"http://127.0.0.1:{serving.server_address[1]}"
    options.project.mkdir(parents=True, exist_ok=True)
    (options.project / "kmodforge.yaml").write_text(
        "repository: 127.0.0.1:9/drivers\n"
        "mirrors:\n"
        "  packages:\n"
        f'    "http://ftp.debian.org/debian": {{url: "{address}/debian", trusted: true}}\n'
        f'    "http://security.debian.org/debian-security": {{url: "{address}/security", trusted: true}}\n'
    )
    print(address, flush=True)
    serving.serve_forever()


if __name__ == "__main__":
    main()
