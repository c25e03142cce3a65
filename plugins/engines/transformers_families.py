"""Families that transformers 5.23 keeps differently from its own general rules.

One row a family, with the file that says so (under `src/transformers/models/`).
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from kvprof.layout import All, Bound, Cache, Field, Last

Keep = Callable[[Cache, Bound], tuple[Cache, ...]]


def _as_is(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    return (cache,)


class Family(Struct, frozen=True):
    """How a family differs.

    Attributes
    ----------
    keep
        What is kept instead of a cache.
    elsewhere
        Keys of caches that live outside the library's cache object, and are not counted.
    model_dtype_states
        Whether states are in the model's dtype, not in float32.
    path
        What the bytes depend on beside the length, where they do.
    """

    keep: Keep = _as_is
    elsewhere: frozenset[str] = frozenset()
    model_dtype_states: bool = False
    path: str | None = None


def _heads(cache: Cache, heads: int) -> tuple[Cache, ...]:
    fields = tuple(
        replace(f, dims=tuple((n, heads if n == "kv_heads" else size) for n, size in f.dims))
        for f in cache.fields
    )
    return (replace(cache, fields=fields),)


def _every_query_head(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    return _heads(cache, bound.config.heads)


def _falcon(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    if not bound.config.flag("new_decoder_architecture", default=False):
        return (cache,)
    return _heads(cache, bound.config.heads)


def _encoder_heads(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    name = "encoder_num_key_value_heads"
    config = bound.config
    return _heads(cache, config.integer(name) if config.has(name) else config.heads)


def _whole_windows(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    return (replace(cache, keep=All()),) if isinstance(cache.keep, Last) else (cache,)


def _float32(*names: str) -> Keep:
    def keep(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
        fields = tuple(replace(f, dtype="float32") if f.name in names else f for f in cache.fields)
        return (replace(cache, fields=fields),)

    return keep


def _position_ids(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    if cache.key != "indexer":
        return (cache,)
    ids = Field("position_ids", (("axes", 3),), "int64")
    return (replace(cache, fields=(*cache.fields, ids)),)


def _packed_indexer(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    if cache.key == "indexer_tail":
        return ()
    if cache.key != "indexer":
        return (cache,)
    key = cache.fields[0]
    gate = replace(key, name="gate")
    valid = replace(key, name="valid", dims=(("channels", 1),))
    return (replace(cache, fields=(key, gate, valid), entry_tokens=1),)


def _buckets(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    """float32 while a prefill is no longer than a chunk, since int64 is appended to no floats."""
    if len(cache.fields) == 1:
        return (cache,)
    state, buckets = cache.fields
    chunk = bound.config.integer("lsh_attn_chunk_length")
    half = replace(buckets, dtype="float32")
    return (
        replace(cache, fields=(state,)),
        replace(cache, key="buckets", fields=(half,), begins_at=chunk),
        replace(cache, key="buckets_wide", fields=(half,), begins_at=chunk + 1),
    )


def _window_twice(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    if cache.key != "sliding_latent":
        return (cache,)
    values = tuple(replace(field, name=f"v_{field.name}") for field in cache.fields)
    return (replace(cache, fields=(*cache.fields, *values)),)


def _window_and_newest(cache: Cache, bound: Bound) -> tuple[Cache, ...]:
    """A published ``sliding_window_size`` counts the tokens before the newest one."""
    if cache.key != "sliding_attention" or not bound.config.fields.get("sliding_window_size"):
        return (cache,)
    return (replace(cache, keep=Last(bound.config.integer("sliding_window_size"))),)


_INKLING = Family(_float32(*(f"{name}_conv_state" for name in ("k", "v", "attention", "mlp"))))

FAMILIES = {
    # modeling_blt.py computes the patches anew each step
    "blt_local_decoder": Family(elsewhere=frozenset({"patch_attention", "patch_cross_attention"})),
    "deepseek_v4": Family(_window_twice),  # modeling_deepseek_v4.py: values are the keys again
    "dots3_note_text": Family(_float32("index_k")),  # modeling_dots3_note.py, Indexer.k_norm
    "falcon": Family(_falcon),  # modeling_falcon.py, _split_heads broadcasts
    "glm5_next_text": Family(_packed_indexer),  # modeling_glm5_next.py, packed_states
    "gpt_neo": Family(_whole_windows),  # configuration_gpt_neo.py has no sliding_window
    "inkling2_text": _INKLING,
    "inkling_text": _INKLING,  # modeling_inkling.py, ShortConv1d
    # configuration_mimo_v2_flash.py: sliding_window = sliding_window_size + 1
    "mimo_v2_flash": Family(_window_and_newest),
    "minimax": Family(model_dtype_states=True),  # modeling_minimax.py, MiniMaxCache
    # modeling_moonshine.py: every attention sets the KV heads of the config that all share
    "moonshine": Family(_encoder_heads),
    "mpt": Family(_every_query_head),  # modeling_mpt.py knows no kv_n_heads
    "qwen4_exp_text": Family(_position_ids),  # modeling_qwen4_exp.py, indexer_position_ids
    # modeling_recurrent_gemma.py keeps states on its modules
    "recurrent_gemma": Family(elsewhere=frozenset({"rg_lru"})),
    "reformer": Family(
        _buckets,
        path="buckets are int64 where the prefill was longer than lsh_attn_chunk_length, and "
        "float32 where decoding went past it; prefills are padded to whole chunks",
    ),
    # modeling_unlimited_ocr.py, UnlimitedOcrReferenceSlidingWindowLayer
    "unlimited_ocr_text": Family(
        path="of the prefill every entry is kept, of the tokens decoded after it a window",
    ),
}
