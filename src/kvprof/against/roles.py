"""The fields of configs by what their number is: what must be shrunk together stands together.

What the reader reads is as `SPELLINGS` has it; the others matter to a library that runs the model.
"""

from __future__ import annotations

from kvprof.spellings import SPELLINGS

HEADS = (
    *SPELLINGS["heads"],
    *SPELLINGS["kv_heads"],
    *SPELLINGS["ssm_heads"],
    *SPELLINGS["ssm_groups"],
    *SPELLINGS["cross_kv_heads"],
    *SPELLINGS["kda_heads"],
    "kv_n_heads",
    "encoder_attention_heads",
    "encoder_num_attention_heads",
    "num_encoder_attention_heads",
    "encoder_num_key_value_heads",
    "cross_num_attention_heads",
    "swa_num_attention_heads",
    "swa_num_key_value_heads",
    "num_attention_heads_per_layer",
    "num_global_key_value_heads",
    "num_sliding_attention_heads",
    "linear_num_key_heads",
    "linear_num_value_heads",
)
HEAD_SIZES = (
    *SPELLINGS["head_dim"],
    *SPELLINGS["ssm_head_dim"],
    *SPELLINGS["cross_head_dim"],
    *SPELLINGS["kda_head_dim"],
    *SPELLINGS["index_head_dim"],
    "decoder_head_dim",
    "global_head_dim",
    "swa_head_dim",
    "swa_v_head_dim",
    "v_head_dim",
    "qk_head_dim",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "rotary_dim",
)
RANKS = ("kv_lora_rank", "q_lora_rank")
WIDTHS = (
    *SPELLINGS["hidden"],
    "attention_hidden_size",
    "backbone_hidden_size",
    "cross_attention_hidden_size",
    "cross_hidden_size",
    "embedding_dim",
    "encoder_hidden_size",
    "lru_width",
    "mamba_d_ssm",
    "n_embed",
    "word_embed_proj_dim",
)
INNER_SIZES = (
    "d_ff",
    "decoder_ffn_dim",
    "dense_intermediate_size",
    "dff",
    "dim_ff",
    "encoder_ffn_dim",
    "expert_ffn_hidden_size",
    "feed_forward_size",
    "ffn_dim",
    "ffn_hidden_size",
    "intermediate_size",
    "intermediate_size_mlp",
    "moe_hidden_size",
    "moe_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "n_inner",
    "share_expert_dim",
    "shared_expert_intermediate_size",
    "shared_experts_intermediate_size",
    "shared_intermediate_size",
)
EXPERTS = (
    "moe_num_experts",
    "n_routed_experts",
    "num_experts",
    "num_local_experts",
    "num_routed_experts",
)
EXPERTS_CHOSEN = (
    "moe_k",
    "moe_top_k",
    "moe_topk",
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
)
GROUPS_OF_EXPERTS = ("n_group", "num_expert_group", "topk_group")
VOCABULARIES = (
    "decoder_vocab_size",
    "src_vocab_size",
    "tgt_vocab_size",
    "unpadded_vocab_size",
    "vocab_size",
    "vocab_size_per_layer_input",
)
WINDOWS = (
    *SPELLINGS["window"],
    "attention_chunk_size",
    "window_size",
)
DEPTHS = (*SPELLINGS["layers"], "depth", "encoder_layers", "num_encoder_layers")
"""Numbers of layers, which are made smaller in encoders of images and sound alone."""
