"""`cidesign completion`: what a shell needs to complete commands, options, profiles and runs."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, profiles and run folders.

    \b
    bash:  cidesign completion bash > ~/.local/share/bash-completion/completions/cidesign
    zsh:   eval "$(cidesign completion zsh)"                 in ~/.zshrc, after compinit
    fish:  cidesign completion fish > ~/.config/fish/completions/cidesign.fish

    bash 4.4 or newer; macOS comes with zsh.  There is none for Windows' own shells.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"click knows no shell {shell}")
    click.echo(kind(context.find_root().command, {}, "cidesign", "_CIDESIGN_COMPLETE").source())
