"""`completion`: the command line by a short name, `passwire`, that shells can complete.

`python -m infra` is nothing that a shell could complete: it knows programs by their name, and this one's is python.
"""

import shlex
import sys
from enum import Enum
from typing import Annotated

import typer

from infra.core.terminal import write_text
from infra.local.processes import PROJECT

VARIABLE = "_PASSWIRE_COMPLETE"
"""By it Typer is asked for completions."""


class Shell(Enum):
    """Those that Typer answers."""

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
    shell: Annotated[Shell, typer.Argument(help="Yours.")] = Shell.BASH,
) -> None:
    """Print what makes `passwire` a short name of this command line that the shell completes.

    Put the example's line into ~/.bashrc, or source its output; zsh likewise, fish with `| source`.

    Example: eval "$(python -m infra completion bash)"
    """
    command = shlex.join(["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "infra"])
    write_text(SCRIPTS[shell].format(command=command, variable=VARIABLE))
