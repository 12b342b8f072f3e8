"""`worldsim COMMAND ...`: finds a command in the table and hands it its words exactly as they were typed.

The library is click: commands here read their own ``key=value`` words and flags, so that what is wanted of a library
is the group, its help and the shells' completion. typer, which builds on click, would add signatures that nobody has.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from worldsim.cli.command import INTERRUPTED, MISTAKE
from worldsim_app.commands import COMMANDS, STAGES, Command

HELP = ("-h", "--help")
EPILOG = (
    'COMMAND --help says more. Completion: eval "$(_WORLDSIM_COMPLETE=bash_source worldsim)" (or zsh, fish).'
)


class Table(click.Group):
    """A group of commands from a table, which takes words and not options: what is typed is what arrives.

    Args:
        name: what the group is called on the command line.
        table: its commands by name, in the order in which help shows them.
        help: the first line of its help.
    """

    def __init__(self, name: str, table: Mapping[str, Command], help: str) -> None:
        settings = {"help_option_names": list(HELP), "max_content_width": 110}
        super().__init__(name, help=help, context_settings=settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a name, with nothing imported; None where there is none."""
        if name not in self.table:
            return None
        found = self.table[name]
        path = f"{ctx.command_path} {name}"
        words = click.Argument(
            ["words"], nargs=-1, type=click.UNPROCESSED, shell_complete=lambda c, p, typed: _completed(typed)
        )
        return click.Command(
            name,
            callback=lambda words: run(found, path, list(words)),
            params=[words],
            short_help=found.line,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
        )


def run(command: Command, path: str, words: list[str]) -> int:
    """Run a command of the table; its help is read from the source, since importing what trains takes seconds.

    Args:
        path: what it is called here, for instance ``worldsim collect``.
        words: what was typed after that.
    """
    if words and words[0] in HELP and command.module.startswith("training."):
        print(documentation(command.module, path), flush=True)
        return 0
    return command.load()(words) or 0


def documentation(module: str, path: str) -> str:
    """The docstring of a module that is not imported for it, speaking of itself as ``path``, of others likewise."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    short = {of: name for name, of in import_module("training").COMMANDS.items()}
    paths = {command.module: f"worldsim {name}" for name, command in COMMANDS.items()}
    paths |= {command.module: f"worldsim train {name}" for name, command in STAGES.items()}
    for each, called in (paths | {module: path}).items():
        long = short.get(each, each).removesuffix(".__main__")
        text = re.sub(rf"python -m {re.escape(long)}(?![\w.])", called, text)
    return text


def version() -> str:
    """The installed version, or that there is none."""
    from importlib import metadata  # a third of the time that --help takes

    try:
        return metadata.version("worldsim")
    except metadata.PackageNotFoundError:
        return "not installed"


def _version_option(name: str) -> click.Option:
    """``--version``, which asks for the version only when it is wanted."""

    def print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            click.echo(f"{name}, version {version()}")
            ctx.exit()

    words: dict[str, object] = {
        "is_flag": True,
        "is_eager": True,
        "expose_value": False,
        "callback": print_version,
    }
    return click.Option(["--version"], help="Show the version and exit.", **words)  # type: ignore[arg-type]


def group(name: str, table: Mapping[str, Command], help: str, words: list[str] | None) -> int:
    """Run a command of a table and return its exit code; one that does not exist is one sentence and code 2."""
    table_of = Table(name.split()[-1], table, help)
    if " " not in name:
        table_of.epilog = EPILOG
        table_of.params.append(_version_option(name))
    try:
        code = table_of.main(words, prog_name=name, standalone_mode=False, windows_expand_args=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return MISTAKE
    except click.ClickException as error:
        print(f"error: {error.format_message()} See {name} --help", file=sys.stderr)
        return MISTAKE
    except click.Abort:
        return INTERRUPTED
    return int(code or 0)


def main(words: list[str] | None = None) -> int:
    """What the script on the PATH calls; ``words`` are those of the command line unless given."""
    return group(
        "worldsim",
        COMMANDS,
        "Walk through true worlds and, beside them, dreams of them; train your own.",
        words,
    )


def _completed(typed: str) -> list[CompletionItem]:
    """A value after ``key=`` and every other word may be a file; the shell knows which there are."""
    return [CompletionItem(typed, type="file")]


if __name__ == "__main__":
    sys.exit(main())
