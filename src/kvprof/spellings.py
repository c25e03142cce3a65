"""A meaning or a field of a config in, the names under which published configs spell it out."""

from __future__ import annotations

SPELLINGS: dict[str, tuple[str, ...]] = {
    "layers": (
        "decoder_layers",
        "num_decoder_layers",
        "decoder_num_hidden_layers",
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "num_transformer_layers",
        "layers",
    ),
    "heads": (
        "decoder_attention_heads",
        "num_decoder_attention_heads",
        "decoder_num_attention_heads",
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "attention_heads",
        "num_query_heads",
    ),
    "hidden": (
        "hidden_size",
        "d_model",
        "n_embd",
        "dim_model",
        "emb_dim",
        "embed_dim",
        "model_dim",
        "n_embed",
        "dim",
    ),
    "kv_heads": (
        "decoder_num_key_value_heads",
        "attn_config.kv_n_heads",
        "num_key_value_heads_per_layer",
        "num_key_value_heads",
        "num_kv_heads",
        "n_kv_heads",
        "kv_heads",
        "kv_n_heads",
        "n_kv_head",
        "n_head_kv",
        "num_query_groups",
        "num_kv_groups",
        "num_attention_groups",
        "multi_query_group_num",
    ),
    "head_dim": (
        "head_dim",
        "attention_head_dim",
        "attention_head_size",
        "kv_channels",
        "d_kv",
        "dim_head",
        "d_head",
        "head_size",
    ),
    "window": ("sliding_window", "sliding_window_size", "attention_window_size"),
    "cross_kv_heads": ("cross_num_key_value_heads",),
    "cross_head_dim": ("cross_head_dim",),
    "d_state": ("mamba_d_state", "ssm_state_size", "state_size"),
    "d_conv": ("mamba_d_conv", "conv_kernel", "linear_conv_kernel_dim", "conv_kernel_size"),
    "expand": ("mamba_expand", "expand"),
    "ssm_heads": ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads"),
    "ssm_head_dim": ("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim"),
    "ssm_groups": ("mamba_n_groups", "n_groups", "mamba_ngroups"),
    "kda_heads": ("linear_num_heads", "linear_attn_config.num_heads"),
    "kda_head_dim": ("linear_head_dim", "linear_attn_config.head_dim"),
    "kda_conv": ("linear_conv_kernel_dim", "linear_attn_config.short_conv_kernel_size"),
    "index_head_dim": (
        "index_head_dim",
        "indexer_head_dim",
        "sparse_attention_config.sparse_index_dim",
    ),
    "draft_layers": (
        "num_nextn_predict_layers",
        "mtp_num_hidden_layers",
        "num_mtp_layers",
        "num_mtp_modules",
        "n_predict",
    ),
}
"""One meaning, the field names under which published configs spell it, first match wins."""

MEANINGS = {
    "layers": "number of layers",
    "heads": "number of attention heads",
    "hidden": "hidden size",
    "kv_heads": "number of KV heads",
    "head_dim": "head size",
    "window": "size of the window",
    "d_state": "size of the state",
    "d_conv": "width of the convolution",
    "ssm_heads": "number of state-space heads",
    "ssm_head_dim": "size of a state-space head",
}
"""What fields with many spellings are, for people."""
_FEW = 2
_SEEN_MOST = (
    "num_hidden_layers",
    "n_layer",
    "num_attention_heads",
    "n_head",
    "num_key_value_heads",
)

_FIRST_MEANING = {name: names for names in reversed(SPELLINGS.values()) for name in names}
"""The spellings of what a field means first: some stand for a second thing in other families."""


def spelled(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of fields, with those that are meanings replaced by all their spellings."""
    return tuple(spelling for name in names for spelling in SPELLINGS.get(name, (name,)))


def described(names: tuple[str, ...]) -> str:
    """Names of fields for a message: what a meaning is called, and a few of its spellings."""
    return " or ".join(_described(name) for name in dict.fromkeys(names))


def _described(name: str) -> str:
    spellings = SPELLINGS.get(name, (name,))
    if len(spellings) <= _FEW:
        return " or ".join(spellings)
    seen = [s for s in spellings if s in _SEEN_MOST] or list(spellings)
    meaning = MEANINGS.get(name, name)
    return f"{meaning} ({', '.join(seen[:2])}, ...; {len(spellings)} spellings)"


def other_spellings(name: str) -> tuple[str, ...]:
    """The fields that mean what a field means before anything else, itself among them."""
    names = _FIRST_MEANING.get(name, ())
    return tuple(other for other in names if _FIRST_MEANING[other] is names)
