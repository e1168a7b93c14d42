#!/usr/bin/env python3
"""dkms-packages.py [--suites bookworm,trixie] [--only NAME,…] [--boot] [--largest KIB] [--again] [--write]

Builds every *-dkms package of Debian by `kmodforge build --source deb:NAME` for the newest kernel of its release, and writes down what came of
it. What is not built is tried by the release's own DKMS, in a container with the same packages: if that does not build it either, it is the driver.
Needs the stack of scripts/stack.sh (start DIR --docker --buildkitd --base bookworm,trixie; KMODFORGE_TEST_*) and target/debug/kmodforge or KMODFORGE.

Results are kept in target/dkms-packages.json as they come; a later run goes on where an earlier one ended. --write only makes the page of them.
"""
import argparse
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("KMODFORGE", str(ROOT / "target/debug/kmodforge"))
KEPT = ROOT / "target/dkms-packages.json"
COMPONENTS = ["main", "contrib", "non-free"]
# Sources of DKMS's own tests, and its helper for packaging.
NOT_DRIVERS = re.compile(r"^(dh-dkms|dkms-.*-?test-dkms|dkms-test-dkms)$")
HEAD = """# Debian's DKMS packages

<!-- made by scripts/dkms-packages.py -->

What `kmodforge build --source deb:NAME --boot` makes of the packages of Debian that are called `*-dkms`, on the newest kernel of their release. There is no line of code for any of them.

- **booted**: compiled, every check passed, and the kernel has loaded, unloaded and loaded the modules again in QEMU. What is in brackets has not been loaded: it wants its hardware, and said so.
- **built**: compiled, every check passed; not booted.
- **built, does not load**: compiled, every check of the files passed; the kernel in QEMU would not have it, and said why. Nothing is published then, unless a profile says what the driver lacks there.
- **rejected by a check**: compiled; a check of the files found what would go wrong on a node. DKMS, which only compiles, has no such checks.
- **not for this kernel**, **does not compile**: for each of them, Debian's own `dkms build` was run with the same kernel's headers; what it said stands in the last column.

{counts}
"""
TABLE = """
## {title}

| package | version | result | modules | what |
|---|---|---|---|---|
"""
# What the container says around the words of DKMS.
MARK = "--- dkms: "
BY_DKMS = r"""
set -eu
apt-get install -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io -o Acquire::Retries=3 "$1" > /tmp/apt.log 2>&1 || true
for conf in /usr/src/*/dkms.conf; do dkms add "${conf%/dkms.conf}" > /dev/null 2>&1 || true; done
dkms status
known() { dkms status | sed -n 's#^\([^/,]*\)[/,] *\([^,:]*\)[,:].*#\1/\2#p' | sort -u; }
for conf in $(dpkg -L "${1%%=*}" | grep '/dkms.conf$'); do
    before=$(kernelver=$2 bash -c '. "$0" > /dev/null; printf "%s\n" "${BUILD_DEPENDS[@]}"' "$conf" < /dev/null)
    for name in $before; do
        known | sed -n "s#^$name/#&#p" | while read -r module; do dkms install "$module" -k "$2" < /dev/null > /tmp/before 2>&1 || tail -n 5 /tmp/before; done
    done
    directory=${conf%/dkms.conf}
    module=$(known | while read -r module; do [ ! "/var/lib/dkms/$module/source" -ef "$directory" ] || echo "$module"; done)
    [ -n "$module" ] || continue
    status=0
    dkms build "$module" -k "$2" < /dev/null > /tmp/out 2>&1 || status=$?
    cat /tmp/out
    cat "/var/lib/dkms/$module/build/make.log" "/var/lib/dkms/$module/$2/x86_64/log/make.log" 2> /dev/null || true
    echo "--- dkms: $module $status"
done
"""


def mirror(url):
    """Where an official address is reachable here."""
    text = pathlib.Path(os.environ["KMODFORGE_TEST_MIRRORS"]).read_text()
    for start, there in re.findall(r'"(http[^"]+)": "([^"]+)"', text):
        if url.startswith(start):
            return there + url[len(start):]
    return url


def packages(suite):
    """Names, components and versions of a suite's packages."""
    found = {}
    for component in COMPONENTS:
        url = mirror(f"http://ftp.debian.org/debian/dists/{suite}/{component}/binary-amd64/Packages.xz")
        text = lzma.decompress(urllib.request.urlopen(url).read()).decode()
        for entry in text.split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", entry, re.M))
            name = fields.get("Package", "")
            if name.endswith("-dkms") and not NOT_DRIVERS.match(name):
                found[name] = {"component": component, "version": fields["Version"], "size": int(fields.get("Installed-Size", "0"))}
    return found


def newest_kernel(suite):
    """The newest generic kernel of the series that a release has."""
    with tempfile.TemporaryDirectory(prefix="kmodforge-dkms-") as folder:
        project(folder)
        listed = subprocess.run([PROGRAM, "kernels", "list", "--distro", f"debian:{suite}", "--format", "json"], cwd=folder, capture_output=True, text=True, check=True)
    numbers = lambda release: [int(number) for number in re.findall(r"\d+", release)]
    generic = [it["release"] for it in json.loads(listed.stdout) if it["arch"] == "amd64" and not it["flavour"]]
    # Newer series come later, by backports and with long-term support.
    series = min(numbers(release)[:2] for release in generic)
    return max((release for release in generic if numbers(release)[:2] == series), key=numbers)


def project(folder):
    text = pathlib.Path(os.environ["KMODFORGE_TEST_MIRRORS"]).read_text()
    text += "" if "frozen:" in text else "  frozen: true\n"
    pathlib.Path(folder, "kmodforge.yaml").write_text(text)


def build(name, version, suite, kernel, boot, timeout):
    """One package: how it ended, and what the record says."""
    with tempfile.TemporaryDirectory(prefix="kmodforge-dkms-") as folder:
        project(folder)
        command = [PROGRAM, "build", "--source", f"deb:{name}={version}", "--kernel", kernel, "--distro", f"debian:{suite}", "--output", "oci:out"]
        command += ["--builder", os.environ["KMODFORGE_TEST_BUILDKIT"], "--progress", "plain", "--jobs", "1"] + (["--boot"] if boot else [])
        started = time.monotonic()
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"status": None, "outcome": "timeout", "why": f"not done within {timeout} s", "seconds": timeout}
        result = {"status": run.returncode, "seconds": round(time.monotonic() - started), "stderr": run.stderr[-12000:]}
        record = pathlib.Path(folder, "kmodforge-record.json")
        if not record.exists():
            return {**result, "outcome": "failed", "why": first_error(run.stderr)}
        target = json.loads(record.read_text())["targets"][0]
        result |= {key: target.get(key) for key in ("outcome", "why", "modules", "checks", "findings", "boot")}
        if target["outcome"] == "failed":
            logs = "".join(log.read_text(errors="replace") for log in sorted(pathlib.Path(folder).glob(".kmodforge/logs/*")) if not log.name.endswith(".boot.log"))
            result["why"] = compile_error(logs) or compile_error(run.stderr) or target["why"]
        elif target["outcome"] == "rejected":
            errors = [finding["message"] for finding in target["findings"] if finding["severity"] == "error"]
            result["why"] = errors[0] if errors else target["why"]
        return result


def docker(*words, **options):
    return subprocess.run(["docker", "--host", os.environ["KMODFORGE_TEST_DOCKER"], *words], capture_output=True, text=True, **options)


def machine(suite, kernel):
    """An image with the release's DKMS and a kernel's headers."""
    name = f"dkms-{suite}:{re.sub('[^a-z0-9.-]', '_', kernel)}"
    if docker("image", "inspect", name).returncode:
        prepare = (
            "sed -i 's/^Components: main$/Components: main contrib non-free non-free-firmware/' /etc/apt/sources.list.d/*.sources; rm -f /etc/apt/apt.conf.d/docker-clean; "
            f"apt-get update && apt-get install -y --no-install-recommends -o DPkg::Options::=--force-unsafe-io dkms linux-headers-{kernel} && touch /etc/dkms/no-autoinstall"
        )
        container = f"dkms-{suite}-{os.getpid()}"
        base = f"{os.environ['KMODFORGE_TEST_REGISTRY']}/library/debian:{suite}"
        run = docker("run", "--network", "host", "--name", container, base, "bash", "-c", prepare)
        if run.returncode:
            sys.exit(f"no machine with DKMS for {suite}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
        docker("commit", container, name, check=True)
        docker("rm", container)
    return name


def by_dkms(name, version, suite, kernel, timeout):
    """What Debian's own DKMS makes of a package: `built`, `failed` or `excluded`, and its first complaint."""
    container = f"dkms-run-{os.getpid()}"
    try:
        run = docker("run", "--rm", "--name", container, "--network", "host", machine(suite, kernel), "bash", "-c", BY_DKMS, "dkms", f"{name}={version}", kernel, timeout=timeout)
    except subprocess.TimeoutExpired:
        docker("rm", "-f", container)
        return {"outcome": "timeout", "why": f"not done within {timeout} s", "log": ""}
    states = [int(status) for status in re.findall(rf"^{MARK}.* (\d+)$", run.stdout, re.M)]
    said = re.search(r"^(Error! .*|.*not supported.*|.*(?:BUILD_EXCLUSIVE|should only be built).*)$", run.stdout, re.M)
    why = compile_error(run.stdout) or (said.group(1) if said else run.stdout[-200:])
    if not states:
        return {"outcome": "absent", "why": "nothing was added to DKMS", "log": (run.stdout + run.stderr)[-6000:]}
    outcome = "built" if not any(states) else "excluded" if all(status in (9, 77) for status in states) else "failed"
    return {"outcome": outcome, "why": "" if outcome == "built" else why, "log": run.stdout[-6000:]}


def first_error(text):
    return next((line[7:] for line in text.splitlines() if line.startswith("error: ")), text.strip().splitlines()[-1] if text.strip() else "")


def compile_error(text):
    """The compiler's first complaint, or that of whatever failed."""
    patterns = [r"([\w./+-]+:\d+(?::\d+)?: (?:fatal )?error: .*)$", r"(ERROR: modpost: .*)$", r"(configure: error: .*)$", r"(dkms\.conf: .*)$", r"((?:g?make|make\[\d\]): \*\*\* .*)$"]
    found = next((found for found in (re.search(pattern, text, re.M) for pattern in patterns) if found), None)
    return re.sub(r"^/(?:var/lib/dkms/[^/]+/[^/]+/build|usr/src/[^/]+)/", "", found.group(1).strip()) if found else None


def errors_of(result):
    return [finding for finding in result.get("findings") or [] if finding["severity"] == "error"]


def word(result):
    """The result in a word or two."""
    if result["outcome"] == "built":
        return "booted" if result.get("boot") else "built"
    if result["outcome"] == "rejected" and errors_of(result) and all(error["check"].startswith("boot-") for error in errors_of(result)):
        return "built, does not load"
    words = {"unsupported": "not for this kernel", "rejected": "rejected by a check", "timeout": "not done"}
    return words.get(result["outcome"], "does not compile")


def escape(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def modules_of(result):
    """`a, b (c)`: what has been loaded, and what is in the image but was not."""
    spelled = lambda name: name.replace("-", "_")
    modules = result.get("modules") or []
    loaded = set((result.get("boot") or {}).get("loaded", []))
    shown = [name if not result.get("boot") or spelled(name) in loaded else f"({name})" for name in modules]
    return ", ".join(shown) if len(shown) <= 4 else f"{', '.join(shown[:3])} and {len(shown) - 3} more"


def remark(result):
    """Why it is not built, beside what DKMS says; else the first warning."""
    if result["outcome"] == "built":
        notes = [finding["message"] for finding in result.get("findings") or [] if finding["severity"] == "warning"]
        return escape(notes[0]) if notes else ""
    if word(result) == "built, does not load":
        said = [(error["message"], (error.get("found") or "").splitlines()[-1:]) for error in errors_of(result)]
        return escape("; ".join(": ".join([message, *last]) for message, last in said))
    real = result.get("dkms")
    if not real:
        return escape(result["why"])
    if real["outcome"] == "built":
        return f"{escape(result['why'])}. **`dkms` builds it**"
    if complaint(real["why"]) == complaint(result["why"]):
        return f"`dkms` fails alike: `{escape(real['why'])}`"
    return f"{escape(result['why'])}. `dkms`: `{escape(real['why'])}`"


def complaint(text):
    """Without the path, the line and the column."""
    return re.sub(r"^.*?:\d+(?::\d+)?: ", "", text)


def page(results, kernels, known):
    tables, counts, missing = [], {}, 0
    for suite in known:
        lines = []
        for name in sorted(known[suite]):
            result = results.get(suite, {}).get(name)
            if not result:
                missing += 1
                continue
            said = word(result)
            counts[said] = counts.get(said, 0) + 1
            lines.append(f"| {name} | {result['version']} | {said} | {modules_of(result)} | {remark(result)} |")
        tables.append(TABLE.format(title=f"{suite}, on {kernels[suite]}") + "\n".join(lines) + "\n")
    summary = f"{sum(counts.values())} packages: {', '.join(f'{count} {said}' for said, count in sorted(counts.items(), key=lambda item: -item[1]))}."
    summary += f" {missing} more have not been built yet." if missing else ""
    return HEAD.format(counts=summary) + "".join(tables)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", default="bookworm,trixie")
    parser.add_argument("--only", default="")
    parser.add_argument("--boot", action="store_true")
    parser.add_argument("--again", action="store_true", help="also what was done before")
    parser.add_argument("--write", action="store_true", help="build nothing")
    parser.add_argument("--timeout", type=int, default=1200)
    parser.add_argument("--largest", type=int, default=1 << 30, help="leave out packages that unpack to more KiB")
    parser.add_argument("--output", default="docs/dkms-packages.md")
    arguments = parser.parse_args()
    suites = arguments.suites.split(",")
    known = {suite: packages(suite) for suite in suites}
    kernels = {suite: newest_kernel(suite) for suite in suites}
    # Small ones first, of all suites alike.
    waiting = sorted(((about["size"], name, suite) for suite in suites for name, about in known[suite].items()))
    for size, name, suite in waiting:
        about, kernel = known[suite][name], kernels[suite]
        results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        wanted = not arguments.only or name in arguments.only.split(",")
        if arguments.write or not wanted or size > arguments.largest or name in results.get(suite, {}) and not arguments.again:
            continue
        result = {**about, "kernel": kernel, **build(name, about["version"], suite, kernel, arguments.boot, arguments.timeout)}
        if "builder answers" in result["why"]:
            sys.exit(result["why"])
        if word(result) in ("does not compile", "not for this kernel"):
            result["dkms"] = by_dkms(name, about["version"], suite, kernel, arguments.timeout)
        real = f"; dkms: {result['dkms']['outcome']} {result['dkms']['why']}" if "dkms" in result else ""
        print(f"{suite} {name} {about['version']}: {word(result)} {result['seconds']} s {result['why']}{real}", file=sys.stderr, flush=True)
        # Another run may work on others.
        results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        results.setdefault(suite, {})[name] = result
        KEPT.write_text(json.dumps(results, indent=1))
    results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    (ROOT / arguments.output).write_text(page(results, kernels, known))


main()
