"""The verbs of the command line, one module each, imported only when used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import click

from kvprof import __version__

VERBS = {
    "profile": "Allocate, stream and age a model's inference memory, and report what was measured.",
    "size": "Say what a model keeps and what an engine reserves, without touching memory.",
    "solve": "Find the longest context, most sequences, least memory or best block size.",
    "list": "List architectures, engines, devices or models; say what request traces are.",
    "check": "Check that a plugin conforms, or that a config is laid out as transformers keeps it.",
    "doctor": "Say what this installation and this machine can do.",
    "schema": "Print the JSON Schema of every document.",
}


@dataclass
class Session:
    """What one invocation is: its arguments, and whether errors show their traceback."""

    argv: tuple[str, ...] = ()
    traceback: bool = False


class _LazyVerbs(click.Group):
    """A group that knows its verbs by name and imports only the one that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"kvprof.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(
    cls=_LazyVerbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: kvprof size --arch mla --tokens 4k,128k   or   kvprof profile --arch mla",
)
@click.version_option(__version__, prog_name="kvprof", message="%(prog)s %(version)s")
@click.option("--traceback", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
def kvprof(session: Session, traceback: bool) -> None:
    """Profile the inference memory of language models: KV cache and recurrent state."""
    session.traceback = traceback
