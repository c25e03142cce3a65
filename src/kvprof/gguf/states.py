"""Metadata of a GGUF file in, the fields of recurrent layers and hybrids out.

Files named here are of llama.cpp's ``src/models``.
"""

from __future__ import annotations

from kvprof.gguf.attention import Fields, attending, attention, latent
from kvprof.gguf.metadata import Metadata


def mamba1(metadata: Metadata, layers: int) -> Fields:
    """Mamba-1 in every layer (``mamba.cpp``)."""
    return {
        "layer_types": ["mamba"] * layers,
        "intermediate_size": metadata.integer("ssm.inner_size"),
        "state_size": metadata.integer("ssm.state_size"),
        "conv_kernel": metadata.integer("ssm.conv_kernel"),
    }


def mamba2(metadata: Metadata, layers: int) -> Fields:
    """Mamba-2 in every layer (``mamba2.cpp``)."""
    fields = _mamba2_fields(metadata)
    return {
        "layer_types": ["mamba"] * layers,
        "num_heads": fields["mamba_n_heads"],
        "head_dim": fields["mamba_d_head"],
        "n_groups": fields["mamba_n_groups"],
        "state_size": fields["mamba_d_state"],
        "conv_kernel": fields["mamba_d_conv"],
    }


def _mamba2_fields(metadata: Metadata) -> Fields:
    """``ssm.time_step_rank`` is the number of heads in Mamba-2 (``conversion/mamba.py``)."""
    inner, count = metadata.integer("ssm.inner_size"), metadata.integer("ssm.time_step_rank")
    if inner % count:
        metadata.refuse(f"its {count} Mamba heads do not divide an inner size of {inner}")
    return {
        "mamba_d_ssm": inner,
        "mamba_n_heads": count,
        "mamba_d_head": inner // count,
        "mamba_n_groups": metadata.integer("ssm.group_count", 1),
        "mamba_d_state": metadata.integer("ssm.state_size"),
        "mamba_d_conv": metadata.integer("ssm.conv_kernel"),
    }


def jamba(metadata: Metadata, layers: int) -> Fields:
    """Attention where there are KV heads, Mamba-1 elsewhere (``jamba.cpp``)."""
    return {
        **attention(metadata, layers, attending(metadata, layers, "mamba")),
        "mamba_d_ssm": metadata.integer("ssm.inner_size"),
        "mamba_d_state": metadata.integer("ssm.state_size"),
        "mamba_d_conv": metadata.integer("ssm.conv_kernel"),
    }


def granite_hybrid(metadata: Metadata, layers: int) -> Fields:
    """Attention where there are KV heads, Mamba-2 elsewhere (``granite-hybrid.cpp``)."""
    kinds = attending(metadata, layers, "mamba")
    return {**attention(metadata, layers, kinds), **_mamba2_fields(metadata)}


def nemotron_h(metadata: Metadata, layers: int) -> Fields:
    """Attention where there are KV heads, Mamba-2 where there is no MLP either.

    Layers that are an MLP keep nothing (``nemotron-h.cpp``).
    """
    kinds = attending(metadata, layers, "mamba")
    widths = metadata.per_layer("feed_forward_length", layers)
    kinds = [
        "mlp" if kind == "mamba" and width else kind
        for kind, width in zip(kinds, widths, strict=True)
    ]
    return {**attention(metadata, layers, kinds), **_mamba2_fields(metadata)}


def parallel(metadata: Metadata, layers: int) -> Fields:
    """Falcon-H1: attention and Mamba-2 side by side in every layer (``falcon-h1.cpp``)."""
    kinds = ["hybrid"] * layers
    return {**attention(metadata, layers, kinds), **_mamba2_fields(metadata)}


def short_convolutions(metadata: Metadata, layers: int) -> Fields:
    """LFM2: attention where there are KV heads, short convolutions elsewhere (``lfm2.cpp``)."""
    kinds = attending(metadata, layers, "conv")
    return {
        **attention(metadata, layers, kinds),
        "conv_L_cache": metadata.integer("shortconv.l_cache"),
    }


def delta_nets(metadata: Metadata, layers: int) -> Fields:
    """Qwen3-Next, Qwen3.5: gated delta nets, and attention in every fourth layer.

    ``qwen3next.cpp``, ``qwen35.cpp``: key heads are ``ssm.group_count``, value heads
    ``ssm.time_step_rank``, and both have heads of ``ssm.state_size``.
    """
    if metadata.has("attention.recurrent_layers"):
        flags = metadata.per_layer("attention.recurrent_layers", layers)
    else:
        interval = metadata.integer("full_attention_interval", 4)
        flags = tuple(int((index + 1) % interval != 0) for index in range(layers))
    value_heads = metadata.integer("ssm.time_step_rank")
    inner = metadata.integer("ssm.inner_size")
    if inner % value_heads:
        metadata.refuse(f"its {value_heads} value heads do not divide an inner size of {inner}")
    kinds = ["linear_attention" if flag else "full_attention" for flag in flags]
    return {
        **attention(metadata, layers, kinds),
        "linear_num_key_heads": metadata.integer("ssm.group_count"),
        "linear_num_value_heads": value_heads,
        "linear_key_head_dim": metadata.integer("ssm.state_size"),
        "linear_value_head_dim": inner // value_heads,
        "linear_conv_kernel_dim": metadata.integer("ssm.conv_kernel"),
    }


def kimi_delta_nets(metadata: Metadata, layers: int) -> Fields:
    """Kimi Linear: MLA where there are KV heads, delta nets elsewhere (``kimi-linear.cpp``)."""
    kinds = attending(metadata, layers, "kda")
    return {
        **latent(metadata, layers),
        "layer_types": kinds,
        "linear_attn_config": {
            "num_heads": metadata.integer("attention.head_count"),
            "head_dim": metadata.integer("kda.head_dim"),
            "short_conv_kernel_size": metadata.integer("ssm.conv_kernel"),
            "full_attn_layers": [i + 1 for i, kind in enumerate(kinds) if kind != "kda"],
        },
    }


def rwkv(metadata: Metadata, layers: int) -> Fields:
    """RWKV-6 and 7: a matrix per head, and the last input of both mixers (``rwkv6.cpp``)."""
    shifts = metadata.integer("token_shift_count", 2)
    if shifts != 2:
        metadata.refuse(f"{metadata.key('token_shift_count')} is {shifts}; only 2 is read")
    return {"head_size": metadata.integer("wkv.head_size")}
