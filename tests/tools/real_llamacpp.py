#!/usr/bin/env python3
"""Serve a tiny random-weight model with the real llama.cpp server, for contract tests.

    python3 -m venv VENV && VENV/bin/pip install -r tests/tools/requirements.txt
    VENV/bin/python tests/tools/real_llamacpp.py [--port 0] [--slots 4] [--model FILE.gguf]

Prints one line, the server's URL, once it answers; serves until its standard input ends or it gets SIGTERM.
"""
import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

import xllamacpp


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--slots", type=int, default=4, help="requests served at once")
    parser.add_argument("--context", type=int, default=8192, help="tokens of context, shared out among the slots")
    parser.add_argument("--model", help="a GGUF file; default: one made on the spot")
    parser.add_argument("--alias", default="tiny", help="the model's name in the API")
    parser.add_argument("--embeddings", action="store_true", help="serve embeddings, and nothing else")
    parser.add_argument("--api-key")
    parser.add_argument("--detached", action="store_true", help="serve until SIGTERM, whatever becomes of the standard input")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if not model:
            model = str(pathlib.Path(folder) / "tiny.gguf")
            maker = pathlib.Path(__file__).with_name("make_gguf.py")
            subprocess.run([sys.executable, str(maker), model, "--end-bias", "-30",
                            "--context", str(args.context // args.slots)], check=True)

        params = xllamacpp.CommonParams()
        params.model.path = model
        params.model_alias = {args.alias}
        params.hostnames = ["127.0.0.1"]
        params.port = args.port
        params.n_parallel = args.slots
        params.n_ctx = args.context
        params.kv_unified = False  # each slot has its own share, as `-np N -c C` gives it
        params.endpoint_metrics = True
        params.endpoint_slots = True
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = 1
        params.warmup = False
        if args.embeddings:
            params.embedding = True
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        if args.api_key:
            params.api_keys = [args.api_key]
        server = xllamacpp.Server(params)

        print(server.listening_address, flush=True)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, lambda *_: stop.set())
        if not args.detached:
            threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
        stop.wait()
    # The embedded server's own shutdown waits for its streams; the test is over, so nothing does.
    os._exit(0)


if __name__ == "__main__":
    main()
