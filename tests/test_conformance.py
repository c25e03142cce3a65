"""The conformance kit finds every kind of wrong layout, and no fault in right ones."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvprof.catalogue import read_catalogue
from kvprof.config import ModelConfig
from kvprof.conformance import layout_problems
from kvprof.layers import attention_cache, layer, mamba1_cache, reading_layer
from kvprof.layout import (
    STATE,
    Access,
    All,
    Cache,
    CacheLayout,
    Chunk,
    Clock,
    Field,
    Last,
    Layer,
    Mode,
    Once,
    Tail,
    TopK,
    Whole,
)
from kvprof.registry import registry
from kvprof.testing import ConformanceError, check_architecture, conformance

K = Field("k", (("kv_heads", 2), ("head_dim", 8)))
ATTENTION = attention_cache(2, 8)
STATES = mamba1_cache(16, 4, 4)


def one(*caches: Cache, does: tuple[Access, ...] | None = None) -> CacheLayout:
    built = layer(0, *caches)
    return CacheLayout((built if does is None else replace(built, does=does),))


def owning(cache: Cache) -> CacheLayout:
    """A layout that is right but for what is wrong with the cache itself."""
    return one(cache)


def with_dim(size: object) -> CacheLayout:
    return owning(Cache("c", (Field("x", (("n", size),)),)))  # type: ignore[arg-type]


APPEND = Access(0, "attention", Last(1), Mode.APPEND)
READ = Access(0, "attention", All(), Mode.READ)

WRONG: dict[str, tuple[object, str]] = {
    "no layout": ("layout", "not a CacheLayout"),
    "nothing": (None, "not a CacheLayout"),
    "no layers": (CacheLayout(()), "no layers"),
    "too many layers": (CacheLayout(tuple(map(Layer, range(10_001)))), "more than 10000"),
    "index from 1": (CacheLayout((layer(1, ATTENTION),)), "layer 0 has index 1"),
    "two of one index": (CacheLayout((Layer(0), Layer(0))), "layer 1 has index 0"),
    "out of order": (CacheLayout((Layer(1), Layer(0))), "layer 0 has index 1"),
    "two caches of a key": (one(ATTENTION, ATTENTION), "two caches of one key"),
    "no fields": (owning(Cache("c", ())), "no fields"),
    "two fields of a name": (owning(Cache("c", (K, K))), "share a name"),
    "no dimensions": (owning(Cache("c", (Field("x", ()),))), "no dimensions"),
    "a dimension of 0": (with_dim(0), "n is 0"),
    "a negative dimension": (with_dim(-8), "n is -8"),
    "a fractional dimension": (with_dim(1.5), "n is 1.5"),
    "a float dimension": (with_dim(8.0), "n is 8.0"),
    "a true dimension": (with_dim(True), "n is True"),
    "a dimension in words": (with_dim("8"), "n is '8'"),
    "a dimension beyond all": (with_dim(2**31), "n is 2147483648"),
    "an unknown dtype": (
        owning(Cache("c", (Field("x", (("n", 8),), "float13"),))),
        "dtype 'float13'",
    ),
    "an unknown codec": (
        owning(Cache("c", (Field("x", (("n", 8),), codec="zip"),))),
        "codec 'zip'",
    ),
    "an unknown retention": (owning(Cache("c", (K,), "forever")), "keep is 'forever'"),  # type: ignore[arg-type]
    "a window of 0": (owning(Cache("c", (K,), Last(0))), "keep is Last(0)"),
    "a chunk of -1": (owning(Cache("c", (K,), Chunk(-1))), "keep is Chunk(-1)"),
    "a tail of 1.5": (owning(Cache("c", (K,), Tail(1.5))), "keep is Tail(1.5)"),  # type: ignore[arg-type]
    "a state on the decoder's clock": (owning(Cache("c", (K,), Once())), "SEQUENCE clock"),
    "a cache on the sequence's clock": (
        owning(Cache("c", (K,), All(), Clock.SEQUENCE)),
        "SEQUENCE clock",
    ),
    "an entry of 0 tokens": (owning(Cache("c", (K,), entry_tokens=0)), "entry_tokens is 0"),
    "a cache that nobody owns": (
        CacheLayout((layer(0, ATTENTION), reading_layer(1, 7, ATTENTION))),
        "layer 1 uses the cache 'attention' of layer 7",
    ),
    "another key": (
        one(ATTENTION, does=(APPEND, READ, Access(0, "k", All(), Mode.READ))),
        "uses the cache 'k'",
    ),
    "a layer that reads one that owns nothing": (
        CacheLayout(
            (
                layer(0, ATTENTION),
                reading_layer(1, 0, ATTENTION),
                Layer(2, (), (Access(1, "attention", All(), Mode.READ),)),
            )
        ),
        "layer 2 uses the cache 'attention' of layer 1",
    ),
    "never read": (one(ATTENTION, does=(APPEND,)), "no layer ever does read"),
    "never appended to": (one(ATTENTION, does=(READ,)), "no layer ever does append"),
    "never touched": (one(ATTENTION, does=()), "no layer ever does append"),
    "a state never updated": (one(STATES, does=()), "no layer ever does rmw"),
    "a state only read": (
        one(STATES, does=(Access(0, "mamba1", Whole(), Mode.READ),)),
        "no layer ever does rmw",
    ),
    "a state appended to": (
        one(STATES, does=(Access(0, "mamba1", Whole(), Mode.APPEND),)),
        "a state is updated (RMW), not appended to",
    ),
    "a cache updated in place": (
        one(ATTENTION, does=(APPEND, READ, Access(0, "attention", All(), Mode.RMW))),
        "only a state kept Once",
    ),
    "a top 0": (
        one(ATTENTION, does=(APPEND, Access(0, "attention", TopK(0), Mode.READ))),
        "span is TopK(0)",
    ),
    "an unknown span": (
        one(ATTENTION, does=(APPEND, Access(0, "attention", "some", Mode.READ))),  # type: ignore[arg-type]
        "span is 'some'",
    ),
    # structs do not check what they are made of: mistakes that would otherwise be tracebacks
    "a layer that is none": (CacheLayout(("layer",)), "not made of"),  # type: ignore[arg-type]
    "a cache that is none": (CacheLayout((Layer(0, ("cache",)),)), "not made of"),  # type: ignore[arg-type]
    "fields in a list": (owning(Cache("c", [K])), "not made of"),  # type: ignore[arg-type]
    "a shape without names": (
        CacheLayout((Layer(0, (Cache("c", (Field("x", (8, 16)),)),)),)),  # type: ignore[arg-type]
        "not made of",
    ),
    "layers that are none": (CacheLayout(None), "not made of"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_layout_is_found(name: str) -> None:
    layout, reason = WRONG[name]
    problems = layout_problems(layout)
    assert any(reason in problem for problem in problems), problems


def test_every_reason_is_given_and_not_the_first_alone() -> None:
    layout = CacheLayout((layer(1, Cache("c", (Field("x", (("n", 0),), "odd"),), Last(0))),))
    problems = "\n".join(layout_problems(layout))
    for reason in ("has index 1", "n is 0", "dtype 'odd'", "keep is Last(0)"):
        assert reason in problems


RIGHT = st.builds(
    lambda caches: CacheLayout(tuple(layer(index, cache) for index, cache in enumerate(caches))),
    st.lists(
        st.one_of(
            st.builds(
                attention_cache,
                st.integers(1, 64),
                st.integers(1, 256),
                keep=st.one_of(
                    st.just(All()),
                    st.builds(Last, st.integers(1, 2**31 - 1)),
                    st.builds(Chunk, st.integers(1, 2**31 - 1)),
                ),
            ),
            st.builds(mamba1_cache, st.integers(1, 99), st.integers(1, 99), st.integers(2, 9)),
        ),
        min_size=1,
        max_size=20,
    ),
)


@given(RIGHT)
def test_a_right_layout_has_no_problems(layout: CacheLayout) -> None:
    assert layout_problems(layout) == []


@given(RIGHT, st.data())
def test_breaking_one_thing_is_found(layout: CacheLayout, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(layout.layers) - 1))
    broken = layout.layers[place]
    (cache,) = broken.owns
    mutations: dict[str, Callable[[], Layer]] = {
        "index": lambda: replace(broken, index=place + 1),
        "nothing done": lambda: replace(broken, does=()),
        "wrong layer": lambda: replace(
            broken, does=tuple(replace(access, layer=place + 99) for access in broken.does)
        ),
        "renamed": lambda: replace(broken, owns=(replace(cache, key="other"),)),
        "owned twice": lambda: replace(broken, owns=(cache, cache)),
        "zero": lambda: replace(
            broken,
            owns=(replace(cache, fields=(replace(cache.fields[0], dims=(("n", 0),)),)),),
        ),
        "clock": lambda: replace(
            broken,
            owns=(
                replace(
                    cache,
                    clock=Clock.DECODER if cache.clock is Clock.SEQUENCE else Clock.SEQUENCE,
                ),
            ),
        ),
    }
    mutation = data.draw(st.sampled_from(sorted(mutations)))
    layers = list(layout.layers)
    layers[place] = mutations[mutation]()
    assert layout_problems(CacheLayout(tuple(layers))), mutation


def test_an_encoders_cache_is_read_and_never_appended_to() -> None:
    cross = Cache("cross", (K,), All(), Clock.ENCODER)
    assert layout_problems(one(cross, does=(Access(0, "cross", All(), Mode.READ),))) == []
    assert layout_problems(one(cross, does=())) != []


# ---------------------------------------------------------------- architectures


@pytest.mark.parametrize("name", registry().architectures)
def test_every_built_in_architecture_conforms(name: str) -> None:
    problems, layout = conformance(registry().architecture(name).what)
    assert problems == []
    assert layout is not None


@pytest.mark.parametrize("row", read_catalogue(), ids=lambda row: row.name)
def test_every_catalogue_model_conforms(row: Any) -> None:
    offered = registry().claimant(row.model_config())
    assert offered is not None
    check_architecture(offered.what, row.config)


CONFIG = {
    "model_type": "mine",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
}


class Mine:
    """An architecture that conforms; the others here differ in one thing."""

    name = "mine"
    summary = "all heads, all tokens"
    reference = "gpt2-xl"
    model_types = frozenset({"mine", "gpt2"})

    def layout(self, config: ModelConfig) -> Any:
        cache = attention_cache(config.heads, config.head_dim)
        return CacheLayout(tuple(layer(index, cache) for index in range(config.layers)))


def test_a_conforming_architecture() -> None:
    assert len(check_architecture(Mine(), CONFIG).layers) == 2
    assert len(check_architecture(Mine()).layers) == 48, "by default the reference's config"


class Guesses(Mine):
    def layout(self, config: ModelConfig) -> Any:
        layers = config.integer("num_hidden_layers", default=32)
        return CacheLayout(tuple(layer(index, ATTENTION) for index in range(layers)))


class Mutates(Mine):
    def layout(self, config: ModelConfig) -> Any:
        layout = super().layout(config)
        config.fields["seen"] = True  # type: ignore[index]
        return layout


class MutatesOnce(Mine):
    """Takes a field away, so that a second reading of the same fields would fail."""

    def layout(self, config: ModelConfig) -> Any:
        heads, size = config.heads, config.head_dim
        config.fields.pop("num_attention_heads")  # type: ignore[attr-defined]
        return CacheLayout((layer(0, attention_cache(heads, size)),))


class Remembers(Mine):
    calls = 0

    def layout(self, config: ModelConfig) -> Any:
        type(self).calls += 1
        assert config.layers
        return CacheLayout((layer(0, attention_cache(type(self).calls, 8)),))


class ReadsRawFields(Mine):
    def layout(self, config: ModelConfig) -> Any:
        count = config.fields["num_hidden_layers"]
        return CacheLayout(tuple(layer(index, ATTENTION) for index in range(count)))


class Raises(Mine):
    def layout(self, config: ModelConfig) -> Any:
        raise ZeroDivisionError("no heads")


class ReturnsNothing(Mine):
    def layout(self, config: ModelConfig) -> Any:
        assert config.layers


class CannotBeQuantised(Mine):
    """A fixed dtype that is no element type of its own."""

    def layout(self, config: ModelConfig) -> Any:
        field = Field("x", (("n", config.heads),), "nvfp4")
        return CacheLayout((layer(0, Cache("c", (field,))),))


class StateThatIsAppended(Mine):
    def layout(self, config: ModelConfig) -> Any:
        field = Field("s", (("n", config.heads),), STATE)
        return CacheLayout((layer(0, Cache("s", (field,), Once())),))


class Nameless(Mine):
    name = ""


class TwoLines(Mine):
    summary = "one\ntwo"


class ClaimsAWord(Mine):
    model_types = "mine"  # type: ignore[assignment]


class ClaimsNothing(Mine):
    model_types = frozenset()


class ClaimsNumbers(Mine):
    model_types = frozenset({1})  # type: ignore[arg-type]


class ClaimsNone(Mine):
    model_types = None  # type: ignore[assignment]


class Unclaimed(Mine):
    model_types = frozenset({"mine"})


class NoReference(Mine):
    reference = "no-such-model"


@pytest.mark.parametrize(
    ("architecture", "config", "reason"),
    [
        (Guesses, CONFIG, "accepts an empty config, so it guesses"),
        (Mutates, CONFIG, "changes the config"),
        (MutatesOnce, CONFIG, "changes the config"),
        (Remembers, CONFIG, "two layouts for one config"),
        (ReadsRawFields, CONFIG, "raised KeyError, which is a bug"),
        (Raises, CONFIG, "raised ZeroDivisionError: no heads"),
        (ReturnsNothing, CONFIG, "the layout is NoneType"),
        (CannotBeQuantised, CONFIG, "dtype 'nvfp4' is no role"),
        (StateThatIsAppended, CONFIG, "SEQUENCE clock"),
        (Nameless, CONFIG, "name is ''"),
        (TwoLines, CONFIG, "summary is 'one\\ntwo'"),
        (ClaimsAWord, CONFIG, "model_types is 'mine'"),
        (ClaimsNothing, CONFIG, "model_types is frozenset()"),
        (ClaimsNumbers, CONFIG, "model_types is frozenset({1})"),
        (ClaimsNone, None, "model_types is None"),
        (Unclaimed, None, "does not claim the model type 'gpt2' of its reference"),
        (NoReference, None, "its reference is in no catalogue"),
        (Mine, {}, "raised ConfigError"),
    ],
)
def test_a_fault_of_an_architecture_is_found(
    architecture: type[Mine], config: dict[str, Any] | None, reason: str
) -> None:
    before = dict(config) if config is not None else None
    with pytest.raises(ConformanceError) as caught:
        check_architecture(architecture(), config)
    assert reason in str(caught.value)
    assert config == before, "the kit works on copies"


def test_a_reference_is_not_spoilt_by_the_plugin_that_is_checked() -> None:
    before = dict(registry().model("gpt2-xl").config)
    conformance(Mutates())
    assert registry().model("gpt2-xl").config == before


def test_a_layout_that_exits_does_not_pass_the_gate():
    class Exits:
        name = "exits"
        summary = "leaves without a word"
        reference = "gpt2"
        model_types = frozenset({"gpt2"})

        def layout(self, config):
            raise SystemExit(0)

    problems, layout = conformance(Exits())
    assert layout is None
    assert any("SystemExit" in problem for problem in problems)
