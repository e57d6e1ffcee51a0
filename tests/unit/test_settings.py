from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from config import settings as module
from config.errors import UserError
from config.settings import Settings, environment_of, known_keys, load_settings, sources


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERENNIAL_TRAINING__NICE")
    return tmp_path


def test_the_defaults_stand_alone() -> None:
    settings = load_settings()
    assert settings.serving.host == "127.0.0.1"
    assert settings.registry_url == f"sqlite:///{Path('perennial-data').resolve() / 'registry.db'}"
    assert set(sources().values()) == {"default"}


def test_file_and_environment_win_in_that_order(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "perennial.toml").write_text("[serving]\nport = 1111\nmax_texts = 7\n")
    monkeypatch.setenv("PERENNIAL_SERVING__PORT", "2222")
    settings = load_settings()
    assert (settings.serving.port, settings.serving.max_texts) == (2222, 7)
    assert sources()["serving.port"] == "PERENNIAL_SERVING__PORT"
    assert sources()["serving.max_texts"] == "perennial.toml"
    assert load_settings(serving={"port": 3333}).serving.port == 3333


@pytest.mark.parametrize("text", ["[serving]\nprot = 1\n", "colour = 'red'\n", "[sevring]\nport = 1\n"])
def test_unknown_keys_in_the_file_are_refused(empty_folder: Path, text: str) -> None:
    (empty_folder / "perennial.toml").write_text(text)
    with pytest.raises(UserError, match=r"unknown setting `(serving\.prot|colour|sevring)` in perennial\.toml"):
        load_settings()


def test_unknown_variables_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_SERVING__PROT", "1")
    with pytest.raises(UserError, match="PERENNIAL_SERVING__PROT"):
        load_settings()


def test_a_section_as_a_variable_is_refused_and_the_right_form_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LOG", "debug")
    with pytest.raises(UserError, match=r"PERENNIAL_LOG names a whole section.*PERENNIAL_LOG__LEVEL"):
        load_settings()


def test_a_settings_file_that_cannot_be_opened_is_named(empty_folder: Path) -> None:
    (empty_folder / "perennial.toml").mkdir()
    with pytest.raises(UserError, match=r"perennial\.toml cannot be read \(Is a directory\).*PERENNIAL_CONFIG"):
        load_settings()


def test_a_wrong_secret_is_not_told(empty_folder: Path) -> None:
    (empty_folder / "perennial.toml").write_text("[serving]\ntoken = 12345\nport = 'many'\n")
    with pytest.raises(UserError, match=r"`serving\.token` \(perennial\.toml\): Input should be a valid string") as refused:
        load_settings()
    assert "12345" not in str(refused.value)
    assert "got 'many'" in str(refused.value)


def test_a_wrong_value_names_key_source_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_ENRICH__TEST_FRACTION", "1.5")
    with pytest.raises(UserError, match=r"`enrich\.test_fraction` \(PERENNIAL_ENRICH__TEST_FRACTION\).*'1\.5'"):
        load_settings()


@pytest.mark.parametrize("key", ["events.retention_days", "buffer.retention_days", "enrich.story_window_days"])
def test_no_span_is_longer_than_a_date_can_lie_back(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    variable = f"PERENNIAL_{key.upper().replace('.', '__')}"
    monkeypatch.setenv(variable, "36500")
    load_settings()
    monkeypatch.setenv(variable, "36501")
    with pytest.raises(UserError, match=rf"`{key}` .* less than or equal to 36500, got '36501'"):
        load_settings()


def test_toml_that_cannot_be_read_is_named(empty_folder: Path) -> None:
    (empty_folder / "perennial.toml").write_text("serving = [")
    with pytest.raises(UserError, match=r"perennial\.toml is not valid TOML"):
        load_settings()


def test_a_missing_named_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_CONFIG", "nowhere.toml")
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        load_settings()


def test_settings_are_frozen_and_secrets_masked() -> None:
    settings = load_settings(serving={"token": "hush-hush"})
    assert isinstance(settings.serving.token, SecretStr)
    assert "hush-hush" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.serving.port = 1  # type: ignore[misc]


def test_every_key_of_the_schema_has_a_default_and_a_comment() -> None:
    lines = module.DEFAULTS_FILE.read_text().splitlines()
    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            assert lines[number - 1].startswith("#"), f"{line} has no comment above it"
    fields = set()
    for name, field in Settings.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        fields |= {f"{name}.{key}" for key in nested} if nested else {name}
    assert fields == known_keys()


@pytest.mark.process
def test_a_child_reads_the_very_same_settings(empty_folder: Path) -> None:
    settings = load_settings(data_dir=empty_folder / "elsewhere", serving={"token": "s3cret", "port": 0})
    code = (
        "from config.settings import load_settings; s = load_settings(); "
        "print(s.data_dir, s.serving.token.get_secret_value(), s.serving.port)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment_of(settings) | {"PYTHONPATH": str(root)}, cwd=empty_folder,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(empty_folder / "elsewhere"), "s3cret", "0"]


def test_extensions_are_imported_with_the_settings(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "brought_by_a_test.py").write_text("import os\nos.environ['BROUGHT'] = 'yes'\n")
    monkeypatch.syspath_prepend(str(empty_folder))
    monkeypatch.setenv("BROUGHT", "no")
    monkeypatch.setenv("PERENNIAL_EXTENSIONS__MODULES", "json, brought_by_a_test")
    settings = load_settings()
    assert settings.extensions.names == ("json", "brought_by_a_test")
    assert os.environ["BROUGHT"] == "yes"
    assert environment_of(settings)["PERENNIAL_EXTENSIONS__MODULES"] == "json, brought_by_a_test", "children get it too"


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ("no_such_module_here", "'no_such_module_here'"),
        ("broken_in_a_test", "ZeroDivisionError"),
        ("a b", r"extensions\.modules"),
    ],
)
def test_an_extension_that_cannot_be_imported_is_named(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, modules: str, said: str
) -> None:
    (empty_folder / "broken_in_a_test.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(empty_folder))
    with pytest.raises(UserError, match=said):
        load_settings(extensions={"modules": modules})
