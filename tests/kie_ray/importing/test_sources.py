"""Local directories and buckets, and which tokenizer belongs to a model."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from kie_ray.encoding import train_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.importing.sources import digest, find_tokenizer, local_directory
from tests.kie_ray.s3_server import environment, running_s3_server


def test_a_local_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    assert local_directory(str(tmp_path), tmp_path) == tmp_path
    assert local_directory(tmp_path.as_uri(), tmp_path) == tmp_path
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; name its directory"):
        local_directory(str(tmp_path / "file"), tmp_path)
    with pytest.raises(ConfigError, match="is no existing directory"):
        local_directory(str(tmp_path / "none"), tmp_path)
    with pytest.raises(ConfigError, match="scheme 'ftp' is none of file, s3, gs"):
        local_directory("ftp://x/y", tmp_path)


def test_of_a_bucket_only_what_matters_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_s3_server() as endpoint:
        for name, value in environment(endpoint).items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="models")
        wanted = {"config.json": b"{}", "model-00001-of-2.safetensors": b"a" * 5_000_000, "vocab.txt": b"[UNK]\n"}
        for name, content in {**wanted, "optimizer.pdopt": b"x", "deep/config.json": b"x"}.items():
            client.put_object(Bucket="models", Key=f"ser/{name}", Body=content)
        client.put_object(Bucket="models", Key="ser2/config.json", Body=b"other")
        for uri in ("s3://models/ser", "s3://models/ser/"):
            found = local_directory(uri, tmp_path)
            assert {path.name: path.read_bytes() for path in found.iterdir()} == wanted
        with pytest.raises(ConfigError, match="s3://models/none"):
            local_directory("s3://models/none", tmp_path)


@pytest.mark.parametrize(
    ("multilingual", "needed", "published"),
    [
        (True, r"LayoutXLM needs sentencepiece\.bpe\.model", "microsoft/layoutxlm-base and xlm-roberta-base"),
        (False, r"LayoutLM and LayoutLMv2 need vocab\.txt or tokenizer\.json", "microsoft/layoutlm-base-uncased"),
    ],
)
def test_a_missing_tokenizer_says_which_file_and_where_it_is_published(
    tmp_path: Path, multilingual: bool, needed: str, published: str
) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(
        ConfigError, match=rf"no tokenizer in .*a and .*b: {needed}, published with .*{published}"
    ) as error:
        find_tokenizer(places, 1000, multilingual)
    assert "https://bj.bcebos.com/paddlenlp/" in str(error.value)
    assert "--tokenizer" in str(error.value)


def test_the_first_directory_with_a_tokenizer_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    trained = train_tokenizer(["some text"] * 3, 300)
    trained.save(tmp_path / "full")
    tokenizer, file = find_tokenizer([tmp_path / "empty", tmp_path / "full"], trained.vocab_size, False)
    assert file == tmp_path / "full" / "tokenizer.json"
    assert tokenizer.encode_lines(["some text"]) == trained.encode_lines(["some text"])
    few = trained.vocab_size - 1
    with pytest.raises(ConfigError, match=rf"tokenizer\.json has {trained.vocab_size} tokens, the model knows {few}"):
        find_tokenizer([tmp_path / "full"], few, False)


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
