"""Builders of layers from plain numbers: what a plugin composes a `CacheLayout` from."""

from __future__ import annotations

from math import prod

from kvprof.layout import (
    MODEL,
    STATE,
    Access,
    All,
    Cache,
    Chunk,
    Clock,
    Dims,
    Field,
    Keep,
    Last,
    Layer,
    Mode,
    Once,
    Tail,
    TopK,
    Whole,
)

INDEXER = "indexer"
"""The key of the caches by which sparse attention chooses the rows that it reads."""

_ALL = All()
_ATTENTION_KEYS = {All: "attention", Last: "sliding_attention", Chunk: "chunked_attention"}


def attention_cache(
    kv_heads: int,
    head_dim: int,
    *,
    v_head_dim: int | None = None,
    keep: Keep = _ALL,
    k_is_v: bool = False,
) -> Cache:
    """Keys and values: ``k [kv_heads, head_dim]`` and ``v [kv_heads, v_head_dim]`` per token.

    ``k_is_v`` stores what both are made of once, as ``kv [kv_heads, head_dim]``.
    """
    heads = ("kv_heads", kv_heads)
    k = Field("kv" if k_is_v else "k", (heads, ("head_dim", head_dim)))
    v = Field("v", (heads, ("head_dim", v_head_dim or head_dim)))
    key = _ATTENTION_KEYS.get(type(keep), "attention")
    return Cache(key, (k,) if k_is_v else (k, v), keep)


def cross_attention_cache(kv_heads: int, head_dim: int) -> Cache:
    """Keys and values of what the encoder made: ``k`` and ``v [kv_heads, head_dim]`` a position."""
    dims = (("kv_heads", kv_heads), ("head_dim", head_dim))
    return Cache("cross_attention", (Field("k", dims), Field("v", dims)), clock=Clock.ENCODER)


def hidden_cache(hidden: int, hashes: int = 0, keep: Keep = _ALL) -> Cache:
    """``hidden_state [hidden]`` per token, of which keys and values are made anew.

    So do Transformer-XL (1901.02860), for its last tokens, and Reformer (2001.04451).

    Its LSH layers also keep the bucket of each hash of each head, ``buckets [hashes]``.
    """
    state = Field("hidden_state", (("hidden_size", hidden),))
    buckets = Field("buckets", (("hashes", hashes),), "int64")
    return Cache("hidden_states", (state, buckets) if hashes else (state,), keep)


def soft_prompt_cache(prompt_tokens: int, cache: Cache) -> Cache:
    """What ``cache`` holds of a learnt prompt before the first token (CPM-Ant)."""
    prompt = ("prompt_tokens", prompt_tokens)
    fields = tuple(Field(f.name, (prompt, *f.dims), f.dtype) for f in cache.fields)
    return Cache("soft_prompt", fields, Once(), Clock.SEQUENCE)


def latent_cache(
    rank: int, rope_dim: int, keep: Keep = _ALL, *, entry_tokens: int = 1, key: str = "latent"
) -> Cache:
    """Multi-head latent attention: one latent and one RoPE key per token (DeepSeek-V2, 2405.04434).

    ``latent [rank]`` and ``k_rope [rope_dim]``, shared by all query heads; a latent without
    positions has no ``k_rope``. One such entry for ``entry_tokens`` tokens.
    """
    fields = (
        Field("latent", (("kv_lora_rank", rank),), codec="mla_latent"),
        Field("k_rope", (("qk_rope_head_dim", rope_dim),), codec="mla_rope"),
    )
    return Cache(key, fields if rope_dim else fields[:1], keep, entry_tokens=entry_tokens)


def compressor_caches(name: str, dim: int, group: int, *, overlapping: bool) -> tuple[Cache, ...]:
    """What a compressor of ``group`` tokens into one entry of ``dim`` elements keeps (DeepSeek V4).

    Of each token that is in no whole group yet ``kv`` and ``gate``, both ``[series, dim]``. Groups
    that overlap have two series, and of the last whole group the first of them is used again:
    ``kv`` and ``gate`` ``[group, dim]``. As the model computes them, unlike the entries that
    they become (transformers modeling_deepseek_v4.py; vLLM keeps them in float32).
    """
    width = (("series", 2), ("dim", dim)) if overlapping else (("dim", dim),)
    tail = tuple(Field(field, width, MODEL) for field in ("kv", "gate"))
    caches = (Cache(f"{name}_tail", tail, Tail(group)),)
    if not overlapping:
        return caches
    last = tuple(Field(f, (("tokens", group), ("dim", dim)), MODEL) for f in ("kv", "gate"))
    return (*caches, Cache(f"{name}_overlap", last, Last(1), entry_tokens=group))


def state_cache(key: str, *fields: Field) -> Cache:
    """Recurrent state: kept once per sequence."""
    return Cache(key, fields, Once(), Clock.SEQUENCE)


def convolution_field(d_conv: int, *channels: int | Dims, name: str = "conv_state") -> Field:
    """The last ``d_conv - 1`` inputs of a causal convolution, as serving engines keep it.

    Its channels are one number, or the sum of products of named dimensions.
    """
    terms = tuple((("channels", c),) if isinstance(c, int) else c for c in channels)
    total = sum(prod(size for _, size in term) for term in terms)
    return Field(
        name,
        (("conv_width", d_conv - 1), ("channels", total)),
        MODEL,
        sum_of=terms if len(terms) > 1 else (),
    )


def mamba1_cache(inner: int, d_state: int, d_conv: int) -> Cache:
    """Mamba-1 (2312.00752; vLLM mamba_utils.py).

    ``conv_state [d_conv - 1, inner]`` and ``ssm_state [inner, d_state]``.
    """
    ssm = Field("ssm_state", (("channels", inner), ("d_state", d_state)), STATE)
    return state_cache("mamba1", convolution_field(d_conv, inner), ssm)


def mamba2_cache(heads: int, head_dim: int, d_state: int, groups: int, d_conv: int) -> Cache:
    """Mamba-2 (2405.21060; vLLM mamba_utils.py).

    ``ssm_state [heads, head_dim, d_state]`` and a convolution over
    ``heads * head_dim + 2 * groups * d_state`` channels.
    """
    ssm = Field(
        "ssm_state", (("heads", heads), ("head_dim", head_dim), ("d_state", d_state)), STATE
    )
    inner = (("heads", heads), ("head_dim", head_dim))
    b_and_c = (("b_and_c", 2), ("groups", groups), ("d_state", d_state))
    return state_cache("mamba2", convolution_field(d_conv, inner, b_and_c), ssm)


def delta_net_cache(
    key: str, *, key_heads: int, value_heads: int, key_dim: int, value_dim: int, d_conv: int
) -> Cache:
    """A (gated) delta net (2412.06464; vLLM mamba_utils.py).

    ``recurrent_state [value_heads, value_dim, key_dim]`` and a convolution over queries, keys and
    values.
    """
    recurrent = Field(
        "recurrent_state",
        (("heads", value_heads), ("value_dim", value_dim), ("key_dim", key_dim)),
        STATE,
    )
    q_and_k = (("q_and_k", 2), ("heads", key_heads), ("key_dim", key_dim))
    values = (("heads", value_heads), ("value_dim", value_dim))
    return state_cache(key, convolution_field(d_conv, q_and_k, values), recurrent)


def gated_linear_recurrence_cache(width: int, d_conv: int) -> Cache:
    """RG-LRU (Griffin, 2402.19427): ``recurrent_state [width]`` and its convolution."""
    recurrent = Field("recurrent_state", (("channels", width),), STATE)
    return state_cache("rg_lru", convolution_field(d_conv, width), recurrent)


def mlstm_cache(heads: int, key_dim: int, value_dim: int) -> Cache:
    """MLSTM (xLSTM, 2405.04517): a matrix memory, its normaliser and its stabiliser per head."""
    head = ("heads", heads)
    return state_cache(
        "mlstm",
        Field("c_state", (head, ("key_dim", key_dim), ("value_dim", value_dim)), STATE),
        Field("n_state", (head, ("key_dim", key_dim)), STATE),
        Field("m_state", (head,), STATE),
    )


def short_convolution_cache(d_conv: int, channels: int) -> Cache:
    """A gated short convolution (LFM2), whose window is all that it keeps."""
    return state_cache("short_convolution", convolution_field(d_conv, channels))


def lightning_cache(heads: int, head_dim: int) -> Cache:
    """Lightning attention (MiniMax-01, 2501.08313): ``kv_state [heads, head_dim, head_dim]``."""
    dims = (("heads", heads), ("key_dim", head_dim), ("value_dim", head_dim))
    return state_cache("lightning", Field("kv_state", dims, STATE))


def rwkv_cache(hidden: int, attention_hidden: int) -> Cache:
    """RWKV-4 (2305.13048): the last input of both mixers, and numerator, denominator and maximum.

    ``shift_state [2, hidden]`` as the model computes, ``wkv_state [3, attention_hidden]``.
    """
    shift = Field("shift_state", (("mixers", 2), ("hidden_size", hidden)), MODEL)
    wkv = Field("wkv_state", (("terms", 3), ("channels", attention_hidden)), STATE)
    return state_cache("rwkv", shift, wkv)


def rwkv_matrix_cache(hidden: int, heads: int, head_size: int) -> Cache:
    """RWKV-5 to 7 (2404.05892): ``wkv_state [heads, head_size, head_size]`` in place of vectors."""
    shift = Field("shift_state", (("mixers", 2), ("hidden_size", hidden)), MODEL)
    head = (("heads", heads), ("key_dim", head_size), ("value_dim", head_size))
    return state_cache("rwkv", shift, Field("wkv_state", head, STATE))


def ngram_cache(channels: int, *, kernel: int, ngram: int) -> Cache:
    """N-gram embeddings (Qwen4): a convolution dilated by ``ngram``, and the last token ids."""
    inputs = Field(
        "conv_state", (("conv_width", (kernel - 1) * ngram), ("channels", channels)), MODEL
    )
    ids = Field("token_ids", (("tokens", ngram - 1),), "int64")
    return state_cache("ngrams", inputs, ids)


def indexer_cache(head_dim: int, *, entry_tokens: int = 1) -> Cache:
    """The lightning indexer of sparse attention (DeepSeek-V3.2): ``index_k [head_dim]`` a token.

    A pooled one keeps an entry for every ``entry_tokens`` tokens (GLM-5.3).
    """
    key = Field("index_k", (("index_head_dim", head_dim),), codec="mla_index")
    return Cache(INDEXER, (key,), entry_tokens=entry_tokens)


def indexer_tail_cache(head_dim: int, pool: int) -> Cache:
    """What a pooled indexer keeps of tokens not yet pooled: ``tail_k`` and ``gate [head_dim]``."""
    dims = (("index_head_dim", head_dim),)
    return Cache("indexer_tail", (Field("tail_k", dims), Field("gate", dims)), Tail(pool))


def layer(index: int, *caches: Cache, topk: int | None = None) -> Layer:
    """A layer that owns ``caches`` and, each step, reads and extends or updates them.

    With ``topk`` it chooses so many rows of its attention to read, by its indexer where it owns
    one. What the encoder wrote and what was learnt is only read.
    """
    does = [access for cache in caches for access in _accesses(index, cache, topk)]
    return Layer(index, caches, tuple(does))


def _accesses(index: int, cache: Cache, topk: int | None) -> tuple[Access, ...]:
    if cache.key == "soft_prompt":
        return (Access(index, cache.key, Whole(), Mode.READ),)
    if isinstance(cache.keep, Once):
        return (Access(index, cache.key, Whole(), Mode.RMW),)
    if cache.clock is Clock.ENCODER:
        return (Access(index, cache.key, All(), Mode.READ),)
    span = cache.keep if isinstance(cache.keep, Last) else All()
    chosen = topk is not None and cache.key in _CHOSEN_FROM
    return (
        Access(index, cache.key, Last(1), Mode.APPEND),
        Access(index, cache.key, TopK(topk) if chosen and topk else span, Mode.READ),
    )


_CHOSEN_FROM = ("attention", "latent", "compressed_latent")


def sparse_layer(index: int, cache: Cache, indexer: Cache | None, topk: int) -> Layer:
    """A layer that streams its whole indexer and then reads ``topk`` rows of its cache.

    Without an indexer of its own it reads the rows that a layer before it chose.
    """
    return layer(index, *((cache, indexer) if indexer else (cache,)), topk=topk)


def compressing_layer(attention: Layer, *buffers: Cache) -> Layer:
    """A layer that besides its attention feeds the ``buffers`` of its compressors.

    A row of them is read once, when its group is whole: one row a step.
    """
    does = tuple(
        Access(attention.index, cache.key, Last(1), mode)
        for cache in buffers
        for mode in (Mode.APPEND, Mode.READ)
    )
    return Layer(attention.index, (*attention.owns, *buffers), (*attention.does, *does))


def reading_layer(index: int, owner: int, cache: Cache) -> Layer:
    """A layer that keeps nothing and reads the cache of layer ``owner`` every step."""
    span = cache.keep if isinstance(cache.keep, Last) else All()
    return Layer(index, (), (Access(owner, cache.key, span, Mode.READ),))
