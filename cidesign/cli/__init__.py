"""The command line: one file per command, imported only when it runs."""

import importlib
import signal
import sys
from collections.abc import Mapping
from typing import ClassVar

import click

from cidesign import __version__
from cidesign.cli.several import require_alone, speaks
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.signals import Ended, break_off, exit_code_of, signals_to

# name -> (module, what it does); the help page is made from this table, so it imports nothing else.
COMMANDS = {
    "profiles": ("cidesign.cli.profiles", "What hardware is known, every number with its source."),
    "distill": ("cidesign.cli.distill", "Train teacher and student: the measurement for a device, and its decoder."),
    "design": ("cidesign.cli.design", "Patterns, a mask or k-space lines of one's own, as a design for a device."),
    "evaluate": ("cidesign.cli.evaluate", "A run beside end-to-end training, fixed designs and its teacher."),
    "export": ("cidesign.cli.export", "Device files from the design of a run, read back and compared."),
    "check": ("cidesign.cli.check", "A design or its device files against the limits of the device."),
    "upload": ("cidesign.cli.upload", "Send an export to a device through a bridge, and verify it."),
    "emulate": ("cidesign.cli.emulate", "A virtual DMD on a pseudo-terminal, to rehearse uploads."),
    "bridge": ("cidesign.cli.bridge", "Own a DMD and answer uploaders on a serial port."),
    "simulate": ("cidesign.cli.simulate", "Digital twin of the bench: all captures, with faults if asked for."),
    "calibrate": ("cidesign.cli.calibrate", "What the bench really does, verified on data that the fit did not use."),
    "reconstruct": ("cidesign.cli.reconstruct", "Images from a capture, beside linear baselines, with diagnostics."),
    "report": ("cidesign.cli.report", "One self-contained page about a run."),
    "sweep": ("cidesign.cli.sweep", "Many runs of one spec: all combinations of settings, here or on a cluster."),
    "doctor": ("cidesign.cli.computer.doctor", "What is installed and connected here, and what is missing for what."),
    "completion": ("cidesign.cli.computer.completion", "What a shell needs to complete commands, profiles and runs."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; those without a description are not listed."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The command names, in the order of the work."""
        return [name for name, (_, text) in self.table.items() if text]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return its `command`."""
        if cmd_name not in self.table:
            return None
        command: click.Command = importlib.import_module(self.table[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command table without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items() if text])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cidesign")
@click.pass_context
def group(context: click.Context) -> None:
    """Design the measurement of a computational imaging system for a real device, and reconstruct its captures.

    Start with: cidesign distill --profile dlp4500
    """
    require_alone(context.invoked_subcommand)


def main() -> None:
    """Run the command line; an expected failure is one line on stderr and an exit code."""
    try:
        with signals_to(break_off):
            # A command that ends early (`Exit`) comes back as its exit code.
            sys.exit(group.main(prog_name="cidesign", standalone_mode=False) or 0)
    except click.ClickException as error:
        if speaks():
            error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        click.echo("interrupted", err=True)
        # click puts an exception of its own in the place of a KeyboardInterrupt.
        ended = error.__cause__ if isinstance(error, click.Abort) else error
        sys.exit(ended.exit_code if isinstance(ended, Ended) else exit_code_of(signal.SIGINT))
    except CidesignError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        click.echo(f"error: {_what_is_missing(error)}", err=True)
        sys.exit(InputError.exit_code)
    except BrokenPipeError:
        # The reader of our output left (`| head`); that is not a failure of ours.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        click.echo(f"error: {error.filename or 'file'}: {error.strerror or error}", err=True)
        sys.exit(FileError.exit_code)


def _what_is_missing(error: ModuleNotFoundError) -> str:
    """A package that this install leaves out, as a bench install does torch; raises the error for a module of ours."""
    package = (error.name or "cidesign").partition(".")[0]
    if package == "cidesign":
        raise error
    return (
        f"this needs {package}, which is not installed here; `cidesign doctor` tells what is missing for what, and the "
        "command that installs it"
    )
