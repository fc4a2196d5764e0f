"""PaddleNLP's VI-LayoutXLM and RE decoder in an environment of their own, for `forward.py --paddlenlp PYTHON`.

    python3.11 -m venv PEER && PEER/bin/pip install -r benchmarks/paddlenlp-requirements.txt
    python benchmarks/forward.py --paddlenlp PEER/bin/python

PaddleNLP 2.5.2 is the last whose RE decoder runs (later ones fail on every page). Its package imports parts of
PaddlePaddle that 2.6 no longer has, so only its LayoutXLM module is imported, unchanged. Random weights, float32.
This file must not import kie_ray: nothing of it is installed there.
"""

from __future__ import annotations

import zlib  # noqa: F401  (before PaddlePaddle, which brings a zlib of its own that breaks scipy's import)

import argparse  # isort: skip
import importlib
import resource
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn  # noqa: F401

import paddle  # isort: skip

TOKENS = 512
XLM = {
    "vocab_size": 250002,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "max_2d_position_embeddings": 1024,
    "coordinate_size": 128,
    "shape_size": 128,
    "image_feature_pool_shape": [7, 7, 256],
    "rel_pos_bins": 32,
    "max_rel_pos": 128,
    "rel_2d_pos_bins": 64,
    "max_rel_2d_pos": 256,
    "gradient_checkpointing": False,
    "fast_qkv": False,
    "has_relative_attention_bias": False,
    "has_spatial_attention_bias": False,
    "has_visual_segment_embedding": True,
    "use_visual_backbone": False,
}


def layoutxlm() -> Any:
    """PaddleNLP's own module, without the rest of its package."""
    root = Path(paddle.__file__).parents[1]
    for name in ("paddlenlp", "paddlenlp.transformers"):
        package = types.ModuleType(name)
        package.__path__ = [str(root / name.replace(".", "/"))]
        package.__dict__["__version__"] = "2.5.2"
        sys.modules[name] = package
    generation = types.ModuleType("paddlenlp.transformers.generation_utils")
    generation.__dict__["GenerationMixin"] = type("GenerationMixin", (), {})
    sys.modules[generation.__name__] = generation
    utils = importlib.import_module("paddlenlp.transformers.model_utils")
    for name in ("PretrainedModel", "register_base_model"):
        sys.modules["paddlenlp.transformers"].__dict__[name] = getattr(utils, name)
    return importlib.import_module("paddlenlp.transformers.layoutxlm.modeling")


def ser(batch: int) -> Callable[[], Any]:
    modeling = layoutxlm()
    model = modeling.LayoutXLMForTokenClassification(modeling.LayoutXLMModel(**XLM), num_classes=7)
    model.eval()
    corner, size = paddle.randint(0, 500, [batch, TOKENS, 2]), paddle.randint(0, 500, [batch, TOKENS, 2])
    inputs = {
        "input_ids": paddle.randint(5, 30000, [batch, TOKENS]),
        "bbox": paddle.concat([corner, corner + size], axis=-1),
        "image": paddle.rand([batch, 3, 224, 224]),
        "token_type_ids": paddle.zeros([batch, TOKENS], dtype="int64"),
        "attention_mask": paddle.ones([batch, TOKENS], dtype="int64"),
    }
    return lambda: model(**inputs)[0].numpy()


def re_decoder(batch: int, count: int = 40) -> Callable[[], Any]:
    """All pairs of `count` questions and `count` answers, given as gold relations, as PaddleOCR's inference does."""
    decoder = layoutxlm().REDecoder()
    decoder.eval()
    states = paddle.randn([batch, TOKENS, 768])
    entities = paddle.full([batch, TOKENS + 1, 3], -1, dtype="int64")
    entities[:, 0] = 2 * count
    for index in range(2 * count):
        entities[:, index + 1] = paddle.to_tensor([6 * index, 6 * index + 5, 1 + index // count], dtype="int64")
    relations = paddle.full([batch, count * count + 1, 2], -1, dtype="int64")
    relations[:, 0] = count * count
    pairs = [[head, count + tail] for head in range(count) for tail in range(count)]
    relations[:, 1:] = paddle.to_tensor([pairs] * batch, dtype="int64")
    return lambda: decoder(states, entities, relations)[1].numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--worker", choices=["ser", "re"], required=True)
    options = parser.parse_args()
    with paddle.no_grad():
        run = {"ser": ser, "re": re_decoder}[options.worker](options.batch)
        run()
        print("ready", flush=True)
        for _ in sys.stdin:
            started, cpu = time.perf_counter(), time.process_time()
            run()
            print(time.perf_counter() - started, time.process_time() - cpu, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
