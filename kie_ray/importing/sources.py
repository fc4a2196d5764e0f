"""Where a checkpoint and its tokenizer come from: a local directory, or an object store that is copied to one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kie_ray.encoding.tokenizer import SENTENCEPIECE_FILE, TOKENIZER_FILE, PageTokenizer, load_tokenizer
from kie_ray.encoding.wordpiece import SETTINGS_FILE, VOCAB_FILE
from kie_ray.errors import ConfigError, DocumentError
from kie_ray.models import from_huggingface, from_paddle
from kie_ray.storage import filesystem_for, list_files
from kie_ray.storage.patience import retried
from kie_ray.storage.places import local_path, scheme_of

TOKENIZER_FILES = (SENTENCEPIECE_FILE, TOKENIZER_FILE, VOCAB_FILE)
_WANTED = {
    *TOKENIZER_FILES,
    SETTINGS_FILE,
    from_paddle.WEIGHTS_FILE,
    from_paddle.CONFIG_FILE,
    from_paddle.LEGACY_CONFIG_FILE,
    *from_huggingface.WEIGHTS_FILES,
}
_SHARDS = (".safetensors", ".bin")
_COPY_BYTES = 2**22


def local_directory(uri: str, work: Path) -> Path:
    """A directory as a local one; of an object store's the files that matter are copied below `work`.

    Optimiser states and weights of other frameworks, which may be larger than the weights, stay where they are.

    Raises:
        ConfigError: there is no such directory, or it cannot be read.
    """
    try:
        scheme = scheme_of(uri)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if scheme == "file":
        path = local_path(uri)
        if not path.is_dir():
            raise ConfigError(f"{uri} is {'a file; name its directory' if path.exists() else 'no existing directory'}")
        return path
    target = work / f"source{len(list(work.iterdir()))}"
    target.mkdir()
    try:
        for item in list_files([uri.rstrip("/") + "/"]):
            name = PurePosixPath(item.uri.removeprefix(uri.rstrip("/") + "/"))
            if len(name.parts) == 1 and (name.name in _WANTED or name.suffix in _SHARDS):
                _copy(item.uri, target / name.name)
    except (OSError, DocumentError) as error:
        raise ConfigError(f"{uri} cannot be read: {' '.join(str(error).split())}") from error
    return target


@retried
def _copy(uri: str, target: Path) -> None:
    filesystem, key = filesystem_for(uri)
    with filesystem.open_input_stream(key) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _COPY_BYTES)


def find_tokenizer(directories: Sequence[Path], vocab_size: int, multilingual: bool) -> tuple[PageTokenizer, Path]:
    """The tokenizer of the first directory that has one, and the file it came from.

    Args:
        vocab_size: rows of the model's word embeddings.
        multilingual: the model is a LayoutXLM; says which tokenizer is missing.

    Raises:
        ConfigError: no directory has one (says which file is needed and where it is published), or it has more tokens
            than the model.
    """
    for folder in directories:
        name = next((name for name in TOKENIZER_FILES if (folder / name).is_file()), None)
        if name is None:
            continue
        tokenizer = load_tokenizer(folder)
        if tokenizer.vocab_size > vocab_size:
            raise ConfigError(
                f"{folder / name} has {tokenizer.vocab_size} tokens, the model knows {vocab_size}: it is another "
                "model's tokenizer; name the right one with --tokenizer"
            )
        return tokenizer, folder / name
    places = " and ".join(map(str, dict.fromkeys(directories)))
    raise ConfigError(
        f"no tokenizer in {places}: {_published(multilingual)}; put it there or name its directory with --tokenizer"
    )


def _published(multilingual: bool) -> str:
    if multilingual:
        return (
            f"LayoutXLM needs {SENTENCEPIECE_FILE}, published with microsoft/layoutxlm-base and xlm-roberta-base on "
            "Hugging Face and with PaddleNLP's layoutxlm-base-uncased "
            "(https://bj.bcebos.com/paddlenlp/models/transformers/layoutxlm_base/sentencepiece.bpe.model)"
        )
    return (
        f"LayoutLM and LayoutLMv2 need {VOCAB_FILE} or {TOKENIZER_FILE}, published with "
        "microsoft/layoutlm-base-uncased and microsoft/layoutlmv2-base-uncased on Hugging Face and with PaddleNLP's "
        "layoutlm-base-uncased "
        "(https://bj.bcebos.com/paddlenlp/models/transformers/layoutlm/layoutlm-base-uncased/vocab.txt)"
    )


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
