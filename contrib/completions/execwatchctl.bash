# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# bash completion of execwatchctl(1). Needs no bash-completion, only that it is sourced.

_execwatchctl_words() { # WORDS...: those that begin as the current one does
  mapfile -t COMPREPLY < <(compgen -W "$*" -- "${COMP_WORDS[COMP_CWORD]}")
}

_execwatchctl_users() {
  mapfile -t COMPREPLY < <(compgen -u -- "${COMP_WORDS[COMP_CWORD]}")
}

_execwatchctl_units() { # --user or --system
  local units
  units=$(systemctl "$1" list-units --all --full --no-legend --plain 2>/dev/null | cut -d ' ' -f 1)
  # a unit's name may have backslashes, which read and compgen must not take
  mapfile -t COMPREPLY < <(compgen -W "${units//\\/\\\\}" -- "${COMP_WORDS[COMP_CWORD]}")
}

_execwatchctl_value() { # of the option before; false if that takes none
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    --user) _execwatchctl_users ;;
    -u | --unit) _execwatchctl_units --system ;;
    --user-unit) _execwatchctl_units --user ;;
    -o | --output) _execwatchctl_words short verbose json json-pretty ecs otel cat argv ;;
    --exe) mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}") ;;
    -p | --priority) _execwatchctl_words emerg alert crit err warning notice info debug ;;
    --action) _execwatchctl_words record ignore ;;
    --sort) _execwatchctl_words rate execs name ;;
    --by) _execwatchctl_words user unit command ;;
    -D | --directory) mapfile -t COMPREPLY < <(compgen -d -- "${COMP_WORDS[COMP_CWORD]}") ;;
    -S | --since | -U | --until) _execwatchctl_words today yesterday now ;;
    -n | --lines | --comm | -g | --grep | --container | --host | --session | --pid | --namespace | --message | --interval | --max-lost | --slow) ;;
    *) return 1 ;;
  esac
}

_execwatchctl() {
  local command=${COMP_WORDS[1]-} current=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _execwatchctl_words status set unset list action limit default log show top --help --version
    return
  fi
  _execwatchctl_value && return
  case $command in
    status) _execwatchctl_words --json --interval --max-lost --help ;;
    list) _execwatchctl_words --json --help ;;
    default) _execwatchctl_words --message --action --json --help ;;
    set | unset | action | limit)
      case $current:$COMP_CWORD in
        -*) _execwatchctl_words --help ;;
        *:2) _execwatchctl_users ;;
        *:3)
          [[ $command != action ]] || _execwatchctl_words record ignore default
          [[ $command != limit ]] || _execwatchctl_words off default
          ;;
      esac
      ;;
    log)
      _execwatchctl_words --unit --user-unit --user --comm --exe --grep --container --priority --host --session --pid --failed --slow --since --until --boot \
        --lines --reverse --follow --output --json --full --no-pager --tree --directory --namespace --any-sender --help
      ;;
    show) _execwatchctl_words --output --json --full --no-pager --directory --namespace --any-sender --help ;;
    top)
      _execwatchctl_words --by --sort --lines --interval --since --once --json --directory --namespace --any-sender --help
      ;;
  esac
}

complete -F _execwatchctl execwatchctl
