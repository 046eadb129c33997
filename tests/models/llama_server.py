"""llama.cpp's own server, from a wheel, with weights made here: a real model server to run the tests against.

    python -m venv llama && llama/bin/pip install xllamacpp numpy
    llama/bin/python tests/models/llama_server.py 8080
    MATRIX_MODEL_URL=http://127.0.0.1:8080/v1 python -m pytest tests/models/test_real_server.py

It runs until it is interrupted. ``xllamacpp`` is no dependency of ours, so the environment is one of its own.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import tiny_weights
import xllamacpp


def serve(port: int, model: Path) -> xllamacpp.Server:
    """The server, listening."""
    options = xllamacpp.CommonParams()
    options.model.path = str(model)
    options.port, options.n_parallel, options.n_ctx = port, 4, 4 * 4096
    options.use_jinja, options.warmup, options.cpuparams.n_threads = True, False, 1
    return xllamacpp.Server(options)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tiny_weights.write(Path(folder) / "tiny.gguf")
        server = serve(int(sys.argv[1]), Path(folder) / "tiny.gguf")
        print(f"listening on {server.listening_address}/v1", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
