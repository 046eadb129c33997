"""llama.cpp's own server, from a wheel, with weights made here: a real model server to run the tests against.

    python -m venv llama && llama/bin/pip install xllamacpp numpy
    llama/bin/python tests/models/llama_server.py .venv/bin/python -m pytest tests/models/test_real_server.py

Runs a command with MATRIX_MODEL_URL, and ends with it; ``make real-model`` does all of this. Without a command it
serves until it is interrupted. ``xllamacpp`` is no dependency of ours, so the environment is one of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import tiny_weights
import xllamacpp


def serve(model: Path) -> xllamacpp.Server:
    """The server, listening on a free port."""
    options = xllamacpp.CommonParams()
    options.model.path = str(model)
    options.port, options.n_parallel, options.n_ctx = 0, 4, 4 * 4096
    options.use_jinja, options.warmup, options.cpuparams.n_threads, options.verbosity = True, False, 1, 0
    return xllamacpp.Server(options)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tiny_weights.write(Path(folder) / "tiny.gguf")
        server = serve(Path(folder) / "tiny.gguf")
        url = f"{server.listening_address}/v1"
        print(f"listening on {url}", file=sys.stderr, flush=True)
        if sys.argv[1:]:
            done = subprocess.run(sys.argv[1:], env=os.environ | {"MATRIX_MODEL_URL": url}, check=False)
            sys.exit(done.returncode)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
