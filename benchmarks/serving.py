"""The served model under load: throughput, latency and memory, with bad requests in between.

    python -m benchmarks.serving FOLDER [--model models/googlenet] [--seconds 20] [--images 1]

Starts `python -m wbc serve`, then asks it with 1 and with 8 clients, each sending pictures of the
folder, one request after the other, on a connection of its own. Meanwhile one more client sends
garbage, a truncated picture, one of 40,000 x 40,000 pixels and a body of 200 MB. Exit status 1 if a
good request failed or a bad one was answered otherwise than expected.
"""

import argparse
import base64
import io
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import requests
from PIL import Image

WAIT = 180.0  # seconds for the server to be ready
CLIENTS = (1, 8)
MAX_PICTURES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="models:/wbc-classifier@champion")
    parser.add_argument("--seconds", type=float, default=20, help="for each number of clients")
    parser.add_argument("--images", type=int, default=1, help="a request")
    parser.add_argument("--port", type=int, default=5077)
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.jpg"))
    if not paths:
        sys.exit(f"{options.folder} was expected to hold *.jpg, but has none; name another.")
    texts = [base64.b64encode(path.read_bytes()).decode() for path in spread(paths)]
    command = [sys.executable, "-m", "wbc", "serve", "--model", options.model]
    server = subprocess.Popen([*command, "--port", str(options.port)])
    address = f"http://127.0.0.1:{options.port}"
    try:
        wait_for(address, server)
        print(f"{len(texts)} pictures, {options.images} a request; ready: {megabytes(server)} MB")
        results = [measure(server, address, texts, number, options) for number in CLIENTS]
    finally:
        server.terminate()
        server.wait()
    sys.exit(0 if all(results) else 1)


def spread(paths: list[Path]) -> list[Path]:
    return paths[:: max(1, len(paths) // MAX_PICTURES)][:MAX_PICTURES]


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    start = time.monotonic()
    while time.monotonic() - start < WAIT and server.poll() is None:
        try:
            if requests.get(f"{address}/ping", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    sys.exit("The server did not start.")


def measure(
    server: subprocess.Popen[bytes],
    address: str,
    texts: list[str],
    num_clients: int,
    options: argparse.Namespace,
) -> bool:
    latencies: list[float] = []
    failures: list[str] = []
    peak, end = [0], time.monotonic() + options.seconds

    def client(number: int) -> None:
        with requests.Session() as session:
            turn = number
            while time.monotonic() < end:
                chosen = [texts[(turn + i) % len(texts)] for i in range(options.images)]
                turn += options.images
                start = time.perf_counter()
                problem = ask(session, address, chosen)
                latencies.append(time.perf_counter() - start)
                if problem:
                    failures.append(problem)

    def bad_client() -> None:
        while time.monotonic() < end:
            try:
                failures.extend(bad_requests(address))
            except (requests.RequestException, ValueError, KeyError, AttributeError) as error:
                failures.append(f"bad request: {error}")
            time.sleep(0.5)

    def watch() -> None:
        while time.monotonic() < end:
            peak[0] = max(peak[0], megabytes(server))
            time.sleep(0.1)

    start = time.perf_counter()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(num_clients)]
    threads += [threading.Thread(target=bad_client), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    rate = options.images * len(latencies) / seconds
    median, high = 1000 * np.quantile(latencies, [0.5, 0.99])
    print(
        f"{num_clients} clients: {len(latencies)} requests, {rate:.1f} images/s, median"
        f" {median:.0f} ms, 99th percentile {high:.0f} ms, memory at most {peak[0]} MB,"
        f" {len(failures)} failures {failures[:2]}",
        flush=True,
    )
    return not failures


def ask(session: requests.Session, address: str, texts: list[str]) -> str:
    try:
        answer = session.post(f"{address}/invocations", json={"inputs": texts}, timeout=60)
        rows = answer.json().get("predictions", [])
    except (requests.RequestException, ValueError, AttributeError) as error:
        return str(error)
    whole = len(rows) == len(texts) and not any(row["error"] for row in rows)
    return "" if answer.ok and whole else answer.text[:200]


def bad_requests(address: str) -> list[str]:
    """What was answered otherwise than expected."""
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(
        picture, "PNG"
    )
    data = picture.getvalue()
    huge = bytearray(data)
    huge[16:24] = (40_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    images = [base64.b64encode(one).decode() for one in (b"garbage", data[:3000], bytes(huge))]
    problems = []
    head = {"content-type": "application/json"}
    for body, status in (
        (b"garbage", 400),
        (b'{"inputs": [5]}', 400),
        ((bytes(1 << 20) for _ in range(200)), 413),
    ):
        answer = requests.post(f"{address}/invocations", data=body, headers=head, timeout=60)
        if answer.status_code != status or not answer.json()["error"]:
            problems.append(f"bad request: {answer.status_code} {answer.text[:100]}")
    answer = requests.post(f"{address}/invocations", json={"inputs": images}, timeout=60)
    classes = [row["class"] for row in answer.json().get("predictions", [])]
    if classes != ["unreadable"] * 3:
        problems.append(f"bad pictures: {answer.status_code} {answer.text[:200]}")
    return problems


def megabytes(server: subprocess.Popen[bytes]) -> int:
    """Resident, the server and its children."""
    try:
        process = psutil.Process(server.pid)
        family = [process, *process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) >> 20
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
