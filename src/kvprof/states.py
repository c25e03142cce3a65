"""The fields of one layer in, the recurrent state that it keeps out."""

from __future__ import annotations

from kvprof.config import ModelConfig
from kvprof.layers import (
    convolution_field,
    delta_net_cache,
    gated_linear_recurrence_cache,
    lightning_cache,
    mamba1_cache,
    mamba2_cache,
    ngram_cache,
    short_convolution_cache,
    state_cache,
)
from kvprof.layout import MODEL, Cache, Field

_MAMBA_HEADS = ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads")


def mamba(config: ModelConfig) -> Cache:
    """Mamba-2 where the config gives its heads, else Mamba-1."""
    d_state, d_conv = config.integer("d_state"), config.integer("d_conv", minimum=2)
    in_heads = config.model_type == "mamba2" or config.has(*_MAMBA_HEADS)
    if not in_heads or config.has("mamba_dt_rank"):  # only Mamba-1 projects its steps
        return mamba1_cache(_inner(config), d_state, d_conv)
    heads = config.integer("ssm_heads")
    groups = config.integer("ssm_groups", default=1)
    if config.value("mamba_d_head") == "auto":
        if _inner(config) % heads:
            config.refuse(f"{heads} Mamba heads do not divide an inner size of {_inner(config)}")
        head_dim = _inner(config) // heads
    else:
        head_dim = config.integer("ssm_head_dim")
    return mamba2_cache(heads, head_dim, d_state, groups, d_conv)


def _inner(config: ModelConfig) -> int:
    """Channels of a Mamba layer: given, or the expansion of the hidden size.

    In a pure Mamba ``intermediate_size`` is that number; in a hybrid it is the MLP's.
    """
    if config.has("mamba_d_ssm"):
        return config.integer("mamba_d_ssm")
    if config.has("intermediate_size") and not config.has("num_attention_heads"):
        return config.integer("intermediate_size")
    return config.scaled("mamba_expand" if config.has("mamba_expand") else "expand", config.hidden)


def delta_net(config: ModelConfig) -> Cache:
    """A gated delta net (Qwen3-Next)."""
    return delta_net_cache(
        "gated_delta_net",
        key_heads=config.integer("linear_num_key_heads"),
        value_heads=config.integer("linear_num_value_heads"),
        key_dim=config.integer("linear_key_head_dim"),
        value_dim=config.integer("linear_value_head_dim"),
        d_conv=config.integer("linear_conv_kernel_dim", minimum=2),
    )


def kimi_delta_net(config: ModelConfig) -> Cache:
    """Kimi Delta Attention."""
    heads, head_dim = config.integer("kda_heads"), config.integer("kda_head_dim")
    return delta_net_cache(
        "kda",
        key_heads=heads,
        value_heads=heads,
        key_dim=head_dim,
        value_dim=head_dim,
        d_conv=config.integer("kda_conv", minimum=2),
    )


def lightning(config: ModelConfig) -> Cache:
    """Lightning attention (MiniMax): a matrix for each query head."""
    return lightning_cache(config.heads, config.head_dim)


def convolution(config: ModelConfig) -> Cache:
    """A gated short convolution (LFM2)."""
    return short_convolution_cache(config.integer("conv_L_cache", minimum=2), config.hidden)


def recurrence(config: ModelConfig) -> Cache:
    """RG-LRU (RecurrentGemma)."""
    width = config.integer("lru_width") if config.has("lru_width") else config.hidden
    return gated_linear_recurrence_cache(width, config.integer("conv1d_width", minimum=2))


def short_convolutions(config: ModelConfig, kv_width: int) -> Cache:
    """Inkling convolves keys, values and the outputs of attention and MLP."""
    kernel = config.integer("sconv_kernel_size", "conv_kernel_size", minimum=2)
    widths = {"k": kv_width, "v": kv_width, "attention": config.hidden, "mlp": config.hidden}
    return state_cache(
        "short_convolutions",
        *(convolution_field(kernel, width, name=f"{n}_conv_state") for n, width in widths.items()),
    )


def compressed_convolution(config: ModelConfig) -> Cache:
    """Zaya convolves queries and keys twice, and takes half of a value from the token before."""
    heads, kv_heads, size = config.heads, config.kv_heads, config.head_dim
    kernel = config.integer("cca_time0") + config.integer("cca_time1") - 1
    queries = (("heads", heads), ("head_dim", size))
    keys = (("kv_heads", kv_heads), ("head_dim", size))
    delayed = Field("delayed_v", (("channels", max(1, kv_heads * size // 2)),), MODEL)
    return state_cache("cca", convolution_field(kernel, queries, keys), delayed)


def ngrams(config: ModelConfig) -> Cache:
    """Qwen4's n-gram embeddings: a dilated convolution, and the ids of the tokens before."""
    return ngram_cache(
        config.integer("hc_count") * config.hidden,
        kernel=config.integer("ple_conv_kernel_size", minimum=2),
        ngram=config.integer("ngram_size", minimum=2),
    )


def soft_prompt_tokens(config: ModelConfig) -> int:
    """Learnt tokens that come before the first one (CPM-Ant)."""
    return config.integer("prompt_length", minimum=0) if config.has("prompt_types") else 0
