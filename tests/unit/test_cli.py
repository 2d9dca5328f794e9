"""The command ``tracker`` itself: names of subcommands, help, completion."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from projections.registry import PROJECTIONS
from tracker.cli import COMMANDS, cli


@pytest.mark.parametrize(("given", "meant"), [("simulat", "simulate"), ("histroy", "history"), ("server", "serve")])
def test_a_misspelt_command_is_suggested(given: str, meant: str) -> None:
    """Exit code 2, and the name that is nearest."""
    result = CliRunner().invoke(cli, [given])
    assert result.exit_code == 2
    assert f"Did you mean {meant}?" in " ".join(result.stderr.split())


def test_what_is_near_to_nothing_gets_no_suggestion() -> None:
    """Nor does an option of the group."""
    result = CliRunner().invoke(cli, ["xyzzy"])
    assert result.exit_code == 2
    assert "There is no command" in result.stderr
    assert "Did you mean" not in result.stderr
    assert "No such option" in CliRunner().invoke(cli, ["--xyzzy"]).stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_is_read_and_written_and_gives_an_example(name: str) -> None:
    """Each command, and each command of a group."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in subcommands:
        text = " ".join((each.help or "").split())
        assert "Reads " in text, each.name
        assert "Writes " in text or "writes nothing" in text or "Prints " in text, each.name
        assert "Example: tracker " in text, each.name
        assert all(parameter.help for parameter in each.params if isinstance(parameter, click.Option)), each.name


@pytest.mark.parametrize("width", ["40", "80"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, name: str, width: str) -> None:
    """Also a narrow one: no line is longer. In a usual one the usage stands on one line."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERMINAL_WIDTH", width)
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= int(width)
    assert width == "40" or f"Usage: cli {name} [OPTIONS]" in result.stdout


def test_the_help_of_rebuild_names_the_projections() -> None:
    """Those that may be given, each once."""
    text = CliRunner().invoke(cli, ["rebuild", "--help"]).stdout
    assert all(projection.name in text for projection in PROJECTIONS)


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef tracker")])
def test_shell_completion_is_there(shell: str, words: str) -> None:
    """Under the variable that the documents name, and it knows the commands."""
    program = [sys.executable, "-c", "import sys; sys.argv[0] = 'tracker'; from tracker.cli import main; main()"]
    script = subprocess.run(
        program, env={**os.environ, "_TRACKER_COMPLETE": f"{shell}_source"}, capture_output=True, text=True, check=False
    )
    assert words in script.stdout
    given = {"_TRACKER_COMPLETE": f"{shell}_complete", "COMP_WORDS": "tracker sim", "COMP_CWORD": "1"}
    completed = subprocess.run(program, env={**os.environ, **given}, capture_output=True, text=True, check=False)
    assert "simulate" in completed.stdout
