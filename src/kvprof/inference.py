"""A config that no plugin claims in, its layout and the fields that it was inferred from out."""

from __future__ import annotations

from msgspec.structs import replace

from kvprof.config import ModelConfig
from kvprof.field_reads import FieldReads
from kvprof.layout import CacheLayout
from kvprof.reader import read_layout
from kvprof.telling_fields import unread_telling, words

_ENCODER_HEADS = (
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForImageClassification",
    "ForMaskedImageModeling",
    "ForObjectDetection",
    "ForSemanticSegmentation",
    "ForAudioClassification",
    "ForCTC",
)
_DECODER_HEADS = ("ForCausalLM", "LMHeadModel", "Decoder")
_TEXT_ENCODERS = words(
    "albert bert camembert convbert data2vec-text deberta deberta-v2 distilbert electra ernie esm "
    "eurobert layoutlm layoutlmv2 layoutlmv3 longformer luke megatron-bert mobilebert modernbert "
    "mpnet mra nomic_bert nystromformer rembert roberta roberta-prelayernorm roformer splinter "
    "squeezebert xlm-roberta xlm-roberta-xl xmod yoso"
)
"""Encoders, some of which may also be decoders: ``is_decoder`` says so."""
_OTHER_ENCODERS = words(
    "audio-spectrogram-transformer beit clip clip_text_model clip_vision_model convnext convnextv2 "
    "data2vec-audio data2vec-vision deit dinov2 dinov3_vit hubert ijepa resnet sew siglip siglip2 "
    "siglip_vision_model swin swinv2 timesformer unispeech videomae vit vit_mae vivit wav2vec2 "
    "wav2vec2-bert wav2vec2-conformer wavlm"
)
"""Encoders of images, sound and captions."""
_UNREAD_RECURRENCES = words(
    "abc comba delta_net gated_deltanet gated_deltaproduct gla gsa hgrn hgrn2 lightnet linear_attn "
    "log_linear_mamba2 mesa_net retnet"
)
"""Recurrences of flash-linear-attention, whose classes fill in what decides their states."""


def infer_layout(config: ModelConfig) -> tuple[CacheLayout, tuple[str, ...]]:
    """Lay a config out by its fields alone, and name those that it was laid out by.

    Raises
    ------
    ConfigError
        When a field that decides the layout is missing or malformed, or when one that may decide
        it was not read.
    """
    reads = config.reads or FieldReads()
    noted = replace(config, reads=reads)
    layout = read_layout(noted)
    fields = {**reads.fields}
    for own in reads.of_cache.values():
        fields |= own
    if (unread := unread_telling(config, fields)) is not None:
        config.refuse(
            f"{unread} may change what its layers keep, and kvprof has no rule that reads it",
            hint="Describe the family in a plugin, or take a known one with --arch.",
        )
    return layout, tuple(name for name, read in fields.items() if not read.default)


def refuse_unkept(config: ModelConfig) -> None:
    """Refuse encoders, which keep nothing from step to step, and states that nobody reads.

    Raises
    ------
    ConfigError
        When the model type, or the classes that the config names, are such ones.
    """
    model_type = config.model_type or ""
    if model_type in _UNREAD_RECURRENCES:
        config.refuse(
            f"{model_type} keeps states that kvprof cannot read",
            hint="Describe the family in a plugin, or take a known one with --arch.",
        )
    if model_type in _OTHER_ENCODERS:
        config.refuse(f"{model_type} is an encoder, which keeps no cache")
    if config.value("is_decoder") is True or config.value("is_encoder_decoder") is True:
        return
    named = config.value("architectures")
    names = [str(name) for name in named] if isinstance(named, list) else []
    decodes = any(name.endswith(_DECODER_HEADS) for name in names)
    encodes = all(name.endswith(_ENCODER_HEADS) for name in names)
    if names and not decodes and (encodes or model_type in _TEXT_ENCODERS):
        config.refuse(
            f"{names[0][:60]} is an encoder, which keeps no cache",
            hint="A decoder of this kind says is_decoder: true.",
        )
