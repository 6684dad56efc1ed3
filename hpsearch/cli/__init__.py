"""The command line: one file per verb, loaded when it is called, so that `hpsearch --help` is quick.

What verbs share: `study_file` reads and checks study.toml, `question` and `kept` open what it names, `ending` turns
whatever ends a command into an exit code, `show` prints.
"""

from difflib import get_close_matches
from importlib import import_module

import click

from hpsearch import __version__
from hpsearch.cli.ending import exit_codes, say
from hpsearch.mlp.cache import is_cached

VERBS = {
    "run": "Carry out a study, or continue it.",
    "validate": "Check a study file against its data; nothing is run or written.",
    "plan": "Say what a run would do, and how long it may take; nothing is written.",
    "status": "Say how far a study is, also while it runs.",
    "report": "Write tables and page again from what is kept; nothing is trained.",
    "predict": "Predict the rows of a table with the model of a study.",
}

WITHOUT_ENGINE = ["status"]
COMPILING = "compiling the engine: less than a minute, and only once"


class Verbs(click.Group):
    """A group whose commands are the modules of this package named in `VERBS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"hpsearch.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click would load every verb to ask it for its first line
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS:
            near = get_close_matches(args[0], VERBS, n=1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        # loading the verb imports the engine
        if args[0] not in WITHOUT_ENGINE and "--quiet" not in args:
            if not is_cached():
                say(COMPILING, err=True)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with exit_codes():
            return super().invoke(ctx)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpsearch")
def main() -> None:
    """Hyperparameter search and ensembling of neural networks for tables.

    A STUDY is a folder with a file study.toml; what comes of it lies in its folder out/.

    \b
    Example:
        hpsearch run studies/digits

    \b
    Exit codes: 0 done; 1 internal error; 2 bad study file or data; 3 --fail-on;
    4 every trial failed; 75 another run holds the study; 130 and 143 stopped by
    Ctrl-C and SIGTERM.
    """
