"""Ask osv.dev whether an installed package has a known vulnerability, once a day at most.

`make lint` runs it. Without network it says so in one sentence, and nothing fails or waits: the
whole audit is given up after SECONDS. A vulnerability that is found is named, and lint fails.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SERVICE = "api.osv.dev"
CONNECTING = 3  # seconds
SECONDS = 120
DAY = 24 * 3600
STAMP = Path(sys.prefix) / ".audited"


def main() -> int:
    requirements = Path("requirements.txt").stat().st_mtime
    with contextlib.suppress(OSError):
        if STAMP.stat().st_mtime > max(time.time() - DAY, requirements):
            return 0
    found, reason = audited()
    if reason:
        print(f"Packages were not audited for known vulnerabilities: {reason}.")  # noqa: T201
        return 0
    if problems := [line for package in found for line in lines(package)]:
        words = "error: packages with known vulnerabilities; raise their pins in requirements*.txt:"
        print(words, *problems, sep="\n  ", file=sys.stderr)  # noqa: T201
        return 1
    skipped = sum("skip_reason" in package for package in found)
    print(f"{len(found) - skipped} packages have no known vulnerability.")  # noqa: T201
    with contextlib.suppress(OSError):
        STAMP.touch()
    return 0


def audited() -> tuple[list[dict[str, Any]], str]:
    """Every installed package with its `vulns`, or why that is not known."""
    try:
        socket.create_connection((SERVICE, 443), timeout=CONNECTING).close()
    except OSError as error:
        return [], f"{SERVICE} cannot be reached ({error.strerror or error})"
    options = ("--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off")
    command = [sys.executable, "-m", "pip_audit", *options, "--timeout", "10"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )  # fmt: skip
        return json.loads(done.stdout)["dependencies"], ""
    except subprocess.TimeoutExpired:
        return [], f"{SERVICE} took more than {SECONDS} seconds"
    except (ValueError, KeyError):  # no JSON: pip-audit has failed, with a traceback
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return [], last[:200]


def lines(package: dict[str, Any]) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {found['id']},"
        f" mended in {', '.join(found['fix_versions']) or 'no version yet'}"
        for found in package.get("vulns", [])
    ]


if __name__ == "__main__":
    sys.exit(main())
