#!/usr/bin/env python3
"""dkms-packages.py [--suites bookworm,trixie] [--kernel RELEASE] [--only NAME,…] [--boot] [--output docs/dkms-packages.md]

Builds every *-dkms package of Debian by `kmodforge build --source deb:NAME` for one kernel of bookworm, and writes down what came of it.
Needs the stack of scripts/stack.sh (KMODFORGE_TEST_*) and target/debug/kmodforge or KMODFORGE.

Results are kept in target/dkms-packages.json as they come; a later run goes on where an earlier one ended.
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

What `kmodforge build --source deb:NAME` makes of the packages of Debian that are called `*-dkms`, for {kernel}. There is no line of code for any of them.

{counts} {missing}

| package | component | version | result | modules | seconds | what |
|---|---|---|---|---|---|---|
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


def build(name, version, suite, kernel, boot, timeout):
    """One package: how it ended, and what the record says."""
    with tempfile.TemporaryDirectory(prefix="kmodforge-dkms-") as folder:
        text = pathlib.Path(os.environ["KMODFORGE_TEST_MIRRORS"]).read_text()
        text += "" if "frozen:" in text else "  frozen: true\n"
        pathlib.Path(folder, "kmodforge.yaml").write_text(text)
        distro = "debian:bookworm" if suite == "bookworm" else "debian"
        command = [PROGRAM, "build", "--source", f"deb:{name}={version}", "--kernel", kernel, "--distro", distro, "--output", "oci:out"]
        command += ["--builder", os.environ["KMODFORGE_TEST_BUILDKIT"], "--progress", "plain", "--jobs", "1"] + (["--boot"] if boot else [])
        started = time.monotonic()
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"status": None, "outcome": "timeout", "why": f"not done within {timeout} s", "seconds": timeout}
        result = {"status": run.returncode, "seconds": round(time.monotonic() - started), "stderr": run.stderr[-4000:]}
        record = pathlib.Path(folder, "kmodforge-record.json")
        if not record.exists():
            return {**result, "outcome": "failed", "why": first_error(run.stderr)}
        target = json.loads(record.read_text())["targets"][0]
        result |= {key: target.get(key) for key in ("outcome", "why", "modules", "checks", "findings", "boot")}
        if target["outcome"] == "failed":
            result["why"] = compile_error(run.stderr) or target["why"]
        elif target["outcome"] == "rejected":
            errors = [finding["message"] for finding in target["findings"] if finding["severity"] == "error"]
            result["why"] = errors[0] if errors else target["why"]
        return result


def first_error(text):
    return next((line[7:] for line in text.splitlines() if line.startswith("error: ")), text.strip().splitlines()[-1] if text.strip() else "")


def compile_error(text):
    """The compiler's first complaint, or that of whatever failed."""
    found = re.search(r"^.*?([\w./+-]+:\d+(?::\d+)?: (?:fatal )?error: .*)$", text, re.M) or re.search(r"(dkms\.conf: .*|ERROR: modpost: .*|configure: error: .*)", text)
    return re.sub(r"^/var/lib/dkms/[^/]+/[^/]+/build/", "", found.group(1).strip()) if found else None


def word(result):
    """The result in a word or two."""
    if result["outcome"] == "built":
        return "booted" if result.get("boot") else "built, checked"
    return {"unsupported": "not for this kernel", "rejected": "rejected by a check", "timeout": "not done"}.get(result["outcome"], "does not compile")


def table(results, kernel, known):
    lines, counts = [], {}
    missing = sum(1 for suite in known for name in known[suite] if name not in results.get(suite, {}))
    for suite in results:
        lines.append(f"| **{suite}** | | | | | | |")
        for name, result in sorted(results[suite].items()):
            said = word(result)
            counts[said] = counts.get(said, 0) + 1
            modules = result.get("modules") or []
            modules = ", ".join(modules) if len(modules) <= 3 else f"{', '.join(modules[:2])} and {len(modules) - 2} more"
            why = "" if result["outcome"] == "built" else result["why"].replace("|", "\\|").replace("<", "&lt;")
            notes = [finding["message"] for finding in result.get("findings") or [] if finding["severity"] == "warning"]
            why = why or (notes[0].replace("|", "\\|") if notes else "")
            lines.append(f"| {name} | {result['component']} | {result['version']} | {said} | {modules} | {result['seconds']} | {why} |")
    summary = ", ".join(f"{count} {said}" for said, count in sorted(counts.items(), key=lambda item: -item[1]))
    missing = f"{missing} more have not been built yet." if missing else ""
    return HEAD.format(kernel=kernel, counts=f"{sum(counts.values())} packages: {summary}.", missing=missing) + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suites", default="bookworm,trixie")
    parser.add_argument("--kernel", default="6.1.0-56-amd64")
    parser.add_argument("--only", default="")
    parser.add_argument("--boot", action="store_true")
    parser.add_argument("--again", action="store_true", help="also what was done before")
    parser.add_argument("--timeout", type=int, default=1200)
    parser.add_argument("--largest", type=int, default=1 << 30, help="leave out packages that unpack to more KiB")
    parser.add_argument("--output", default="docs/dkms-packages.md")
    arguments = parser.parse_args()
    results = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    known = {suite: packages(suite) for suite in arguments.suites.split(",")}
    for suite in known:
        kept = results.setdefault(suite, {})
        for name, about in sorted(known[suite].items(), key=lambda item: item[1]["size"]):
            wanted = not arguments.only or name in arguments.only.split(",")
            if not wanted or about["size"] > arguments.largest or name in kept and not arguments.again:
                continue
            result = {**about, **build(name, about["version"], suite, arguments.kernel, arguments.boot, arguments.timeout)}
            if "builder answers" in result["why"]:
                sys.exit(result["why"])
            print(f"{suite} {name} {about['version']}: {word(result)} {result['seconds']} s {result['why']}", file=sys.stderr, flush=True)
            # Another run may work on another suite.
            results = json.loads(KEPT.read_text()) if KEPT.exists() else results
            results.setdefault(suite, {})[name] = result
            KEPT.write_text(json.dumps(results, indent=1))
            (ROOT / arguments.output).write_text(table(results, arguments.kernel, known))


main()
