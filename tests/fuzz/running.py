"""What the fuzzers share: sizing a config with every engine, and running libFuzzer.

Coverage is seen in a regular installation only: ``pip install '.[fuzz]'``, not an editable one.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris

from kvprof.config import ModelConfig
from kvprof.errors import KvprofError, PluginError
from kvprof.memory import weights_bytes
from kvprof.model import lay_out
from kvprof.registry import registry
from kvprof.size import Request, size_model

MOST_SECONDS = 5
LIMITS = ("-timeout=60", "-rss_limit_mb=1024", "-max_len=65536")
ENGINES = [offered.what for offered in registry().engines.values()]  # loads plugins, instrumented
REQUESTS = (
    Request(tokens=0),
    Request(tokens=4097, encoder_tokens=100, memory_bytes=2**30, max_model_len=8192),
    Request(tokens=2**40, sequences=2**20, cache_dtype="fp8"),
)


def size_everywhere(read: Callable[[], ModelConfig]) -> None:
    """All that is done to a config. A KvprofError is an answer; a plugin's failure is none.

    Seconds are the processor's: libFuzzer's are of the clock, by which a busy machine hangs.
    """
    start = time.process_time()
    with answered():
        model = lay_out(read())
        with answered():
            weights_bytes("auto", model)
        for engine in ENGINES:
            for request in REQUESTS:
                with answered():
                    size_model(model, engine, request)
    assert time.process_time() - start < MOST_SECONDS, "slow"


@contextlib.contextmanager
def answered():
    try:
        yield
    except PluginError:
        raise
    except KvprofError as error:
        if len(str(error)) > 4_000:
            raise AssertionError("a message of thousands of letters") from error


def fuzz(
    one: Callable[[bytes], None],
    seeds: Sequence[bytes],
    argv: Sequence[str],
    mutate: Callable[[bytes, int, int], bytes] | None = None,
) -> None:
    """Run libFuzzer from the seeds and from what a folder in ``argv`` holds."""
    with tempfile.TemporaryDirectory() as folder:
        for index, seed in enumerate(seeds):
            (Path(folder) / f"seed-{index}").write_bytes(seed)
        given = [argument for argument in argv[1:] if not argument.startswith("-")]
        options = [argument for argument in argv[1:] if argument.startswith("-")]
        atheris.Setup([argv[0], *LIMITS, *options, *given, folder], one, custom_mutator=mutate)
        atheris.Fuzz()
