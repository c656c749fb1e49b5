"""How each checkpoint format names the tensors of `loopsphere.models.htsat.HTSAT`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.(.+)\.(\w+)")


@dataclass(frozen=True)
class Layout:
    """The names of one checkpoint format.

    Attributes
    ----------
    prefix : str
        In front of every tensor of the audio encoder.
    parts : mapping of str to str
        Our module to theirs, outside the stages.
    block_parts : mapping of str to tuple of str
        Our module to theirs, inside a block; several are concatenated along the first axis.
    position_bias : str
        Their name for a block's table of relative positions.
    merging : str
        Their name for the patch merging, which they keep at the end of the stage before.
    unused : str
        Regular expression that matches the whole name of each tensor that the embedding does not need.
    """

    prefix: str
    parts: Mapping[str, str]
    block_parts: Mapping[str, tuple[str, ...]]
    position_bias: str
    merging: str
    unused: str

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that make up our tensor `name`."""
        if not self.parts:
            return (name,)
        if not (match := _BLOCK.fullmatch(name)):
            part, tensor = name.rsplit(".", 1)
            head = next(head for head in self.parts if part == head or part.startswith(head + "."))
            return (f"{self.prefix}{self.parts[head]}{part.removeprefix(head)}.{tensor}",)
        stage, child, part, tensor = int(match[1]), int(match[2]), match[3], match[4]
        if part in ("norm", "reduction"):
            return (f"{self.prefix}layers.{stage - 1}.{self.merging}.{part}.{tensor}",)
        # Ours keep the patch merging as the first child of every stage but the first.
        block = f"{self.prefix}layers.{stage}.blocks.{child - (stage > 0)}"
        if tensor == "position_bias":
            return (f"{block}.{self.position_bias}",)
        return tuple(f"{block}.{theirs}.{tensor}" for theirs in self.block_parts[part])

    def is_unused(self, name: str) -> bool:
        """Say whether a tensor is known and not needed."""
        return re.fullmatch(self.unused, name) is not None


_PATCH_EMBED = {
    "patches": "patch_embed.proj",
    "patch_norm": "patch_embed.norm",
    "fusion.local_patches": "patch_embed.mel_conv2d",
    "fusion.fuse.local_attention": "patch_embed.fusion_model.local_att",
    "fusion.fuse.global_attention": "patch_embed.fusion_model.global_att",
    "norm": "norm",
}

OWN = Layout("", {}, {}, "", "", unused=r".*\.num_batches_tracked")

HUGGING_FACE = Layout(
    prefix="audio_encoder.",
    parts={"mel_norm": "batch_norm", **_PATCH_EMBED},
    block_parts={
        "norm1": ("layernorm_before",),
        "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.proj": ("attention.output.dense",),
        "norm2": ("layernorm_after",),
        "mlp.0": ("intermediate.dense",),
        "mlp.2": ("output.dense",),
    },
    position_bias="attention.self.relative_position_bias_table",
    merging="downsample",
    unused=(
        r"(text_model|text_projection|audio_projection)\..*|logit_scale_[at]"
        r"|audio_encoder\..*\.(num_batches_tracked|relative_position_index)"
    ),
)

LAION = Layout(
    prefix="audio_branch.",
    parts={"mel_norm": "bn0", **_PATCH_EMBED},
    block_parts={
        "norm1": ("norm1",),
        "attention.qkv": ("attn.qkv",),
        "attention.proj": ("attn.proj",),
        "norm2": ("norm2",),
        "mlp.0": ("mlp.fc1",),
        "mlp.2": ("mlp.fc2",),
    },
    position_bias="attn.relative_position_bias_table",
    merging="downsample",
    unused=(
        r"(text_branch|text_transform|text_projection|audio_transform|audio_projection)\..*|logit_scale_[at]"
        r"|audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\..*"
        r"|audio_branch\..*\.(num_batches_tracked|relative_position_index|attn_mask)"
    ),
)
