#!/usr/bin/env python3
"""Serve a tiny random-weight model with a real vLLM on the CPU, for contract tests.

    tests/tools/fetch_vllm .contract/vllm
    .contract/vllm/bin/python tests/tools/real_vllm.py [--port 0] [--slots 4]

Prints one line, the server's URL, once it answers; serves until its standard input ends or it gets SIGTERM.
"""
import argparse
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def healthy(url):
    try:
        with urllib.request.urlopen(url + "/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--slots", type=int, default=4, help="requests run at once (--max-num-seqs)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of context of one request")
    parser.add_argument("--name", default="tiny", help="the model's name in the API")
    args, more = parser.parse_known_args()  # the rest is vLLM's

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()

    here = pathlib.Path(sys.executable).parent
    port = args.port or free_port()
    url = f"http://127.0.0.1:{port}"
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("make_hf_model.py")), folder,
                        "--context", str(args.context)], check=True, stdout=sys.stderr)
        server = subprocess.Popen(
            [here / "vllm", "serve", folder, "--served-model-name", args.name, "--host", "127.0.0.1",
             "--port", str(port), "--dtype", "float32", "--max-model-len", str(args.context),
             "--max-num-seqs", str(args.slots), "--enforce-eager", "--enable-auto-tool-choice",
             "--tool-call-parser", "hermes", *more],
            env={**os.environ, **quiet, **cpu}, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
        try:
            while not stop.is_set() and server.poll() is None and not healthy(url):
                time.sleep(0.2)
            if server.poll() is None and not stop.is_set():
                print(url, flush=True)
            while not stop.wait(0.2) and server.poll() is None:
                pass
        finally:
            # Its engine runs in a process of its own, which must not outlive it.
            try:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
            try:
                os.killpg(server.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            server.wait()
    return 0 if stop.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
