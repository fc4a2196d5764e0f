"""LayoutLM (Xu et al. 2020, "LayoutLM: Pre-training of Text and Layout") and its task models, in plain PyTorch.

Parameter names are Hugging Face's, so directories of either library load in the other. Boxes are x0 y0 x1 y1 in
0..1000 of the page.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from kie_ray.errors import ConfigError
from kie_ray.models.image_branch import ImageBranch
from kie_ray.models.layers import LayoutLMv2Layer, LayoutLMv2Pooler
from kie_ray.models.relative_bias import attention_mask_bias
from kie_ray.models.resnet import RESNET101_BLOCKS, FixedBatchNorm
from kie_ray.models.task_models import JointModel, MaskedLmModel, ReModel, SerModel


class LayoutLMConfig(PreTrainedConfig):
    """Fields as Hugging Face's class of the same name, and these.

    `add_pooler`: carry the pooler of published checkpoints, which no task here uses. `use_1d_positions`: add the
    absolute position embedding. `num_entity_labels`: rows of the RE head's label embedding. `relation_geometry`: width
    of the RE head's geometry network, 0 for none. `use_image_branch`: the page image is read as well.
    `image_branch_blocks`: its depth, see `ResNet`. `image_branch_pixel_boxes`: round its boxes to pixels of the 224 x
    224 page and widen them by half a pixel, as the common recipe does; else they are taken as they are. `window_marks`:
    ids of the begin and end token that the task models put around every window, None for none.
    """

    model_type = "layoutlm"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    max_2d_position_embeddings: int = 1024
    add_pooler: bool = True
    use_1d_positions: bool = True
    num_entity_labels: int = 3
    relation_geometry: int = 0
    window_marks: list[int] | tuple[int, int] | None = None
    use_image_branch: bool = False
    image_branch_blocks: list[int] | tuple[int, ...] = RESNET101_BLOCKS
    image_branch_pixel_boxes: bool = False
    tie_word_embeddings: bool = True

    # What the shared layers ask for and LayoutLM does not have; no field, so not saved.
    fast_qkv = False


class LayoutLMEmbeddings(nn.Module):
    """Sum of word, 1D position, box and token type embeddings, all as wide as the model, normalised."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__()
        width, reach = config.hidden_size, config.max_2d_position_embeddings
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        if config.use_1d_positions:
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.x_position_embeddings = nn.Embedding(reach, width)
        self.y_position_embeddings = nn.Embedding(reach, width)
        self.h_position_embeddings = nn.Embedding(reach, width)
        self.w_position_embeddings = nn.Embedding(reach, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.use_1d_positions = config.use_1d_positions

    def forward(self, input_ids: Tensor, bbox: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """int64 [B, T], [B, T, 4], [B, T] -> float [B, T, H]."""
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        left, top, right, bottom = bbox.unbind(-1)
        total = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        if self.use_1d_positions:
            total = total + self.position_embeddings.weight[: input_ids.shape[1]]
        total = total + self.x_position_embeddings(left) + self.y_position_embeddings(top)
        total = total + self.x_position_embeddings(right) + self.y_position_embeddings(bottom)
        total = total + self.h_position_embeddings(bottom - top) + self.w_position_embeddings(right - left)
        return self.dropout(self.LayerNorm(total))


class LayoutLMEncoder(nn.Module):
    """The layers: BERT's, as LayoutLMv2's are."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__()
        common: Any = config  # the shared layers read only fields that both families have
        self.layer = nn.ModuleList(LayoutLMv2Layer(common) for _ in range(config.num_hidden_layers))

    def forward(
        self, hidden: Tensor, attention_mask: Tensor | None, keep_all: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...] | None]:
        """Returns the last hidden states [B, T, H] and, with `keep_all`, those before and after every layer."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        mask = attention_mask_bias(attention_mask, None, dtype)
        kept = [hidden]
        for layer in self.layer:
            hidden = layer(hidden, mask)
            if keep_all:
                kept.append(hidden)
        return hidden, tuple(kept) if keep_all else None


class LayoutLMPreTrainedModel(PreTrainedModel):
    """Weight initialisation, saving and loading."""

    config_class = LayoutLMConfig
    config: LayoutLMConfig
    base_model_prefix = "layoutlm"
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, FixedBatchNorm):
            init.constant_(module.weight, module.start)
            init.zeros_(module.bias)
            init.zeros_(module.running_mean)
            init.ones_(module.running_var)


class LayoutLMModel(LayoutLMPreTrainedModel):
    """Embeddings and encoder, and the image branch where the configuration has one."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__(config)
        common: Any = config
        self.embeddings = LayoutLMEmbeddings(config)
        self.encoder = LayoutLMEncoder(config)
        self.pooler = LayoutLMv2Pooler(common) if config.add_pooler else None
        self.image_branch: ImageBranch | None = None
        if config.use_image_branch:
            self.image_branch = ImageBranch(
                config.hidden_size, config.image_branch_blocks, config.image_branch_pixel_boxes
            )
        self.post_init()

    @property
    def uses_image(self) -> bool:
        """The page image is read."""
        return self.image_branch is not None

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        assert isinstance(value, nn.Embedding)
        self.embeddings.word_embeddings = value

    def image_features(self, images: Tensor) -> Tensor:
        """Float [P, 3, 224, 224], RGB normalised with ImageNet's mean and deviation -> [P, 1024, 14, 14].

        Raises:
            ConfigError: the model has no image branch.
        """
        if self.image_branch is None:
            raise ConfigError("this LayoutLM has no image branch (use_image_branch: false): it takes no image")
        return self.image_branch.backbone(images)

    def forward(
        self,
        input_ids: Tensor,
        bbox: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        image_features: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """Encode windows of text tokens.

        Args:
            input_ids: int64 [B, T], T at most `max_position_embeddings`.
            bbox: int64 [B, T, 4], x0 y0 x1 y1 within 0..max_2d_position_embeddings-1, x1 >= x0, y1 >= y0.
            attention_mask: [B, T], 0 for padding; None when nothing is padded.
            token_type_ids: int64 [B, T]; None for all 0.
            image_features: float [B, 1024, 14, 14], of the page of each window; needed with an image branch only.
            output_hidden_states: also give the embedding output and every layer's output. The image branch adds to
                `last_hidden_state` alone.

        Raises:
            ValueError: more tokens than `max_position_embeddings`.
            ConfigError: image features without image branch, or none with it.
        """
        length = input_ids.shape[1]
        if self.config.use_1d_positions and length > self.config.max_position_embeddings:
            raise ValueError(
                f"a window of {length} tokens exceeds max_position_embeddings {self.config.max_position_embeddings}"
            )
        if self.uses_image != (image_features is not None):
            raise ConfigError(
                f"use_image_branch is {self.uses_image}, "
                f"image_features were {'not ' if image_features is None else ''}given"
            )
        embedded = self.embeddings(input_ids, bbox, token_type_ids)
        hidden, kept = self.encoder(embedded, attention_mask, output_hidden_states)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        if self.image_branch is not None and image_features is not None:
            hidden = hidden + self.image_branch(image_features, bbox)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled, hidden_states=kept)


class LayoutLMForSer(LayoutLMPreTrainedModel, SerModel):
    """See `SerModel`."""

    encoder_class = LayoutLMModel


class LayoutLMForRe(LayoutLMPreTrainedModel, ReModel):
    """See `ReModel`."""

    encoder_class = LayoutLMModel


class LayoutLMForKie(LayoutLMPreTrainedModel, JointModel):
    """See `JointModel`."""

    encoder_class = LayoutLMModel


class _Transform(nn.Module):
    """Dense, activation, LayerNorm."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(hidden)))


class LayoutLMLmHead(nn.Module):
    """`MaskedLmHead` under the names of published checkpoints, where the decoder's bias has two."""

    def __init__(self, config: LayoutLMConfig) -> None:
        super().__init__()
        self.transform = _Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [N, H] -> [N, vocab_size]."""
        return self.decoder(self.transform(hidden))


class LayoutLMForMaskedLm(LayoutLMPreTrainedModel, MaskedLmModel):
    """See `MaskedLmModel`."""

    encoder_class = LayoutLMModel
    _tied_weights_keys = {  # noqa: RUF012 (read by the base class)
        "cls.predictions.decoder.bias": "cls.predictions.bias",
        "cls.predictions.decoder.weight": "layoutlm.embeddings.word_embeddings.weight",
    }

    def _add_heads(self, config: Any) -> None:
        self.cls = nn.ModuleDict({"predictions": LayoutLMLmHead(config)})

    @property
    def lm_head(self) -> nn.Module:
        """The head by the name that training knows; its parameters are `cls.predictions`, as published."""
        return self.cls["predictions"]
