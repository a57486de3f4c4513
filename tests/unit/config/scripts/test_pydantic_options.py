"""Scripts whose settings pydantic reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.reading import read

ENVIRONMENT = """\
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

class Optim(BaseModel):
    lr: float = Field(0.01, gt=0, le=1, description="how fast")

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="train_", env_nested_delimiter="__")
    optim: Optim = Optim()
    layers: int = 3
    nesterov: bool = False
    key: str = Field(validation_alias="API_KEY")

settings = Settings()
"""
ARGUMENTS = """\
from typing import Annotated, Literal
from pydantic import BaseModel, Field, PositiveInt
from pydantic_settings import BaseSettings

class Optim(BaseModel):
    lr: Annotated[float, Field(ge=1e-6)] = 1e-3
    kind: Literal["adam", "sgd"] = "adam"

class Common(BaseSettings):
    seed: int = 1

class Settings(Common, cli_parse_args=True):
    optim: Optim = Optim()
    layers: PositiveInt = 3
    nesterov: bool = True
    data: str = Field(..., description="where it is")

settings = Settings()
"""


def script(folder: Path, text: str) -> Script | None:
    (folder / "train.py").write_text(text)
    return read(folder / "train.py", folder, "python").script


def test_fields_are_variables_of_the_environment(tmp_path: Path) -> None:
    options = script(tmp_path, ENVIRONMENT)
    assert options is not None and (options.reader, options.argument_template) == ("pydantic-settings", "")
    assert options.options == (
        Option("TRAIN_OPTIM__LR", "float", 0.01, least=0, most=1, about="how fast"),
        Option("TRAIN_LAYERS", "int", 3),
        Option("TRAIN_NESTEROV", "bool", False),
        Option("API_KEY", "text"),
    )


def test_fields_are_options_where_a_command_line_is_read(tmp_path: Path) -> None:
    options = script(tmp_path, ARGUMENTS)
    assert options is not None and options.argument_template == "{args}"
    assert options.options == (
        Option("seed", "int", 1),
        Option("optim.lr", "float", 0.001, least=1e-6),
        Option("optim.kind", "text", "adam", ("adam", "sgd")),
        Option("layers", "int", 3),
        Option("nesterov", "text", "true", ("true", "false")),
        Option("data", "text", about="where it is", required=True),
    )
    implicit = script(
        tmp_path, ARGUMENTS.replace("cli_parse_args=True", "cli_parse_args=True, cli_implicit_flags=True")
    )
    assert implicit is not None and implicit.options[4] == Option("no-nesterov", "bool", False)


@pytest.mark.parametrize(
    "settings",
    ["Settings(_cli_parse_args=True)", "CliApp.run(Settings)", "pydantic_settings.CliApp.run(Settings)"],
)
def test_whoever_makes_the_settings_may_say_that_a_command_line_is_read(tmp_path: Path, settings: str) -> None:
    text = ENVIRONMENT.replace("Settings()\n", f"{settings}\n").replace(
        "import BaseSettings", "import CliApp, BaseSettings"
    )
    options = script(tmp_path, f"import pydantic_settings\n{text}")
    assert options is not None and [option.name for option in options.options][:2] == ["optim.lr", "layers"]


def test_settings_beside_options_of_argparse_are_no_options(tmp_path: Path) -> None:
    more = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', type=float, default=0.1)\n"
    options = script(tmp_path, ENVIRONMENT + more)
    assert options is not None and [option.name for option in options.options] == ["lr"]


def test_settings_without_numbers_leave_the_word_to_what_else_reads_the_environment(tmp_path: Path) -> None:
    text = """\
import os
from pydantic_settings import BaseSettings
class Keys(BaseSettings):
    token: str = ""
keys = Keys()
lr = float(os.environ.get("LR", "0.1"))
"""
    options = script(tmp_path, text)
    assert options is not None and [option.name for option in options.options] == ["LR"]
