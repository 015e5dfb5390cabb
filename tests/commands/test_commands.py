"""The table of commands: all of them are found, and those of packages too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segscape import commands
from segscape.commands import data
from segscape.errors import UserError

SRC = Path(commands.__file__).parents[2]


@pytest.mark.parametrize(
    "command", [*commands.COMMANDS.values(), *data.COMMANDS.values()], ids=lambda c: c.target
)
def test_every_line_of_the_table_names_a_file_and_a_function(command: commands.Command) -> None:
    module, _, function = command.target.partition(":")
    file = SRC / f"{module.replace('.', '/')}.py"
    assert f"def {function}(rest: Sequence[str]) -> int:" in file.read_text()


def test_every_file_of_a_command_is_in_the_table() -> None:
    listed = {
        c.target.partition(":")[0] for c in (*commands.COMMANDS.values(), *data.COMMANDS.values())
    }
    folder = Path(commands.__file__).parent
    assert listed == {
        f"segscape.commands.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"
    }


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "from segscape.cli import main; main()"
    before = f"import sys; sys.path.insert(0, {str(path)!r}); " if path else ""
    return subprocess.run(
        [sys.executable, "-c", before + code, *arguments], capture_output=True, text=True
    )


def test_help_lists_all_and_a_typo_is_an_error() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("train", *commands.COMMANDS):
        assert f"  {name} " in done.stdout
    done = run("evalute")
    assert done.returncode == 2
    assert "did you mean segscape evaluate?" in done.stderr
    with pytest.raises(UserError, match="did you mean segscape data check"):
        commands.COMMANDS["data"].run(["chek"])


def test_a_package_adds_a_command(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(
        "def shout(rest):\n    print(' '.join(rest).upper())\n    return 3\n"
    )
    info = tmp_path / "shout-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segscape.commands]\nshout = shout:shout\n")
    assert "shout           of the package shout" in run("--help", path=tmp_path).stdout
    done = run("shout", "hello", "world", path=tmp_path)
    assert (done.returncode, done.stdout) == (3, "HELLO WORLD\n")


def test_the_table_imports_no_command() -> None:
    code = "import sys, segscape.cli; assert not {'torch', 'hydra', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
