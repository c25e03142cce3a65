"""Our runs against other runs of the same models: what each keeps, at every length."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from kvprof.against.cache_run import ENCODER_TOKENS, run_caches
from kvprof.errors import ConfigError

TRUTH = Path(__file__).resolve().parents[3] / "shared" / "data" / "groundtruth"
FOLDERS = sorted(file.parent.name for file in TRUTH.glob("*/measured.json"))
NOT_RUN = {
    "blt": "the library cannot make its cache without help",
    "dia": "takes several words at once",
    "evolla": "in none of the library's tables of language models",
    "musicgen": "in none of the library's tables of language models",
    "reformer": "its cache is no list of layers",
}

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the shared data is not beside the project")


@pytest.mark.parametrize("name", FOLDERS)
def test_the_same_bytes_are_counted(name: str) -> None:
    config = json.loads((TRUTH / name / "config.json").read_bytes())
    truth = json.loads((TRUTH / name / "measured.json").read_bytes())
    lengths = tuple(truth["lengths"])
    if name in NOT_RUN:
        with pytest.raises(ConfigError):
            run_caches(config, truth["dtype"], lengths)
        return
    run = run_caches(config, truth["dtype"], lengths)
    # There its own encoder's output was attended to, here as many positions as we hand over.
    cross = truth["cross_bytes"] // truth.get("cross_tokens", 1)
    others = [total - truth["cross_bytes"] for total in truth["total_bytes"]]
    assert [sum(run.layer_bytes[tokens]) for tokens in lengths] == [
        other + cross * ENCODER_TOKENS for other in others
    ]
