"""`completion`: gives the command line of a checkout the name `passwire`, which shells can complete.

Shells complete a program by its name, and the name of `python -m infra` is `python`.
"""

import shlex
import sys
from enum import Enum
from typing import Annotated

import typer

from infra.core.terminal import write_text
from infra.local.processes import PROJECT

VARIABLE = "_PASSWIRE_COMPLETE"
"""The environment variable that makes Typer print completions."""


class Shell(Enum):
    """Shells that Typer supports."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS = {
    Shell.BASH: """\
passwire() {{ {command} "$@"; }}
_passwire() {{
  local IFS=$'\\n'
  COMPREPLY=($(env COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD {variable}=complete_bash {command}))
}}
complete -o default -F _passwire passwire""",
    Shell.ZSH: """\
passwire() {{ {command} "$@"; }}
_passwire() {{ eval $(env _TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {variable}=complete_zsh {command}); }}
autoload -Uz compinit && compinit
compdef _passwire passwire""",
    Shell.FISH: """\
function passwire; {command} $argv; end
function _passwire
  env {variable}=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] _TYPER_COMPLETE_ARGS=(commandline -cp) {command}
end
complete --command passwire --no-files --arguments "(_passwire get-args)" --condition "_passwire is-args\"""",
}


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that you use.")] = Shell.BASH,
) -> None:
    """Print a shell function `passwire` for this command line, with completion.

    Put the line of the example into ~/.bashrc, or into ~/.zshrc with `zsh`. In fish, pipe the output to `source`.

    Example: eval "$(python -m infra completion bash)"
    """
    command = shlex.join(["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "infra"])
    write_text(SCRIPTS[shell].format(command=command, variable=VARIABLE))
