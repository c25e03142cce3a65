"""Models of the Hugging Face Hub, from a Hub on this machine: what is fetched, what goes wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "torch_dtype": "bfloat16",
}
PER_TOKEN = 2 * 32 * 8 * 128 * 2  # K and V, layers, KV heads, head size, bytes


COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What it has, and what it was asked for.

    ``files`` are bytes by ``org/name/file``; ``refusals`` are a status and the error code that the
    Hub sends with it, by ``org/name``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refusals: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.endpoint = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, *, body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            model, _, rest = self.path.lstrip("/").partition("/resolve/")
            content = hub.files.get(f"{model}/{rest.partition('/')[2]}", b"")
            known = any(name.startswith(f"{model}/") for name in hub.files)
            status, code = hub.refusals.get(
                model, (200, "") if content else (404, "EntryNotFound" if known else "RepoNotFound")
            )
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def env(hub: Hub, tmp_path) -> dict[str, str]:
    hub.files["org/llama/config.json"] = json.dumps(LLAMA).encode()
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}


def sized(run_cli, env, *arguments):
    run = run_cli("size", *arguments, "--format", "json", env=env)
    assert (run.exit_code, run.stderr) == (0, "")
    return json.loads(run.stdout)["results"][0]


@pytest.mark.parametrize("option", ["--model", "--config"])
def test_a_model_of_the_hub(run_cli, env, hub, option):
    result = sized(run_cli, env, option, "org/llama")
    assert result["bytes"]["per_token"] == PER_TOKEN
    assert (result["model"]["name"], result["model"]["source"]) == ("llama", "hub:org/llama")
    files = {line.split("/resolve/")[1] for line in hub.asked if "/resolve/" in line}
    assert files == {"main/config.json"}, "nothing but the config is fetched"


def test_a_revision(run_cli, env, hub):
    sized(run_cli, env, "--model", "org/llama@v2")
    assert "GET /org/llama/resolve/v2/config.json" in hub.asked


def test_the_cache_answers_without_a_network(run_cli, env, hub):
    sized(run_cli, env, "--model", "org/llama")
    before = list(hub.asked)
    offline = sized(run_cli, env | {"HF_HUB_OFFLINE": "1"}, "--model", "org/llama")
    assert hub.asked == before
    away = sized(run_cli, env | {"HF_ENDPOINT": "http://127.0.0.1:9"}, "--model", "org/llama")
    assert offline["bytes"] == away["bytes"]


def test_a_folder_of_that_name_comes_first(run_cli, env, hub, tmp_path):
    (tmp_path / "org" / "llama").mkdir(parents=True)
    (tmp_path / "org" / "llama" / "config.json").write_text(json.dumps(LLAMA))
    for option in ("--model", "--config"):
        assert sized(run_cli, env, option, "org/llama")["model"]["source"] == str(
            (tmp_path / "org" / "llama" / "config.json").relative_to(tmp_path)
        )
    assert hub.asked == []


def test_a_folder_of_the_organisation_does_not_hide_its_other_models(run_cli, fails, env, hub):
    (run_cli.folder / "org").mkdir()
    assert sized(run_cli, env, "--model", "org/llama")["bytes"]["per_token"] == PER_TOKEN
    hub.asked.clear()
    assert "cannot read the config 'org/llama'" in fails(
        2, "size", "--config", "org/llama", env=env
    )
    assert hub.asked == []


@pytest.mark.parametrize(
    ("refusal", "exit_code", "said"),
    [
        ((404, "RepoNotFound"), 2, "has no model 'org/other'"),
        ((401, "RepoNotFound"), 2, "hf auth login"),
        ((404, "RevisionNotFound"), 2, "has no model 'org/other'"),
        ((404, "EntryNotFound"), 2, "has no config.json"),
        ((403, "GatedRepo"), 3, "is gated"),
        ((401, "GatedRepo"), 3, "HF_TOKEN"),
        ((500, ""), 3, "answers with the status 500"),
    ],
)
def test_what_the_hub_refuses(fails, env, hub, refusal, exit_code, said):
    hub.refusals["org/other"] = refusal
    assert said in fails(exit_code, "size", "--model", "org/other", env=env)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ({"HF_ENDPOINT": "http://host.invalid"}, "cannot be reached"),
    ],
)
def test_no_network(fails, env, changed, said):
    message = fails(3, "size", "--model", "org/llama", env=env | changed)
    assert said in message
    assert "--config" in message


def test_a_config_that_is_huge_is_not_fetched(fails, env, hub):
    hub.files["org/big/config.json"] = b" " * (8 * 2**20 + 1)
    assert "at most 8388608 are fetched" in fails(2, "size", "--model", "org/big", env=env)
    assert not any(line.startswith("GET /org/big") for line in hub.asked)


@pytest.mark.parametrize(
    "name", ["a/b/c", "org/", "/name", "../x", "org/na me", "org/x@", "o/" * 2]
)
def test_what_is_no_id_asks_nobody(fails, env, hub, name):
    fails(2, "size", "--model", name, env=env)
    assert hub.asked == []


def test_weights_of_the_hubs_index(run_cli, env, hub):
    index = {"metadata": {"total_size": 16 * 2**30}, "weight_map": {}}
    hub.files["org/llama/model.safetensors.index.json"] = json.dumps(index).encode()
    words = ("--model", "org/llama", "--device-memory", "80GiB", "--weights", "auto")
    result = sized(run_cli, env, *words, "--engine", "paged")
    assert result["plan"]["num_blocks"] == 64 * 2**30 // (16 * PER_TOKEN)


def test_no_weights_on_the_hub(fails, env, hub):
    packed = LLAMA | {"quantization_config": {"quant_method": "gptq"}}  # no count tells its bytes
    hub.files["org/llama/config.json"] = json.dumps(packed).encode()
    words = ("--model", "org/llama", "--device-memory", "80GiB", "--weights", "auto")
    assert "--weights auto cannot tell" in fails(2, "size", *words, env=env)
