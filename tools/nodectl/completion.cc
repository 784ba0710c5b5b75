// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/completion.h"

namespace keelson::nodectl {
namespace {

constexpr std::string_view kBash =
    R"sh(# nodectl completion for bash; load with: source <(nodectl completion bash)
_nodectl_pods() {
  nodectl get pods -o name 2>/dev/null | sed 's|^pod/||'
}

_nodectl() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="" command="${COMP_WORDS[1]:-}"
  local words=""
  (( COMP_CWORD > 0 )) && prev="${COMP_WORDS[COMP_CWORD-1]}"
  case "$prev" in
    -o|--output) words="wide json yaml name" ;;
    --socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --for) words="$(_nodectl_pods | sed 's|^|pod/|')" ;;
    --sort-by) words="cpu memory" ;;
    --stream) words="all stdout stderr" ;;
    -n|--namespace|-c|--container|--detach-keys|--tail|--since|--since-time|--limit-bytes|--address|--port) return ;;
  esac
  if [[ -z "$words" ]]; then
    if (( COMP_CWORD == 1 )); then
      words="get describe logs exec attach cp port-forward top web events inflight completion --socket --help --version"
    elif [[ "$cur" == -* ]]; then
      case "$command" in
        get) words="-n --namespace -A --all-namespaces -o --output --help" ;;
        describe) words="-n --namespace --help" ;;
        logs) words="-f --follow -p --previous -c --container --tail --since --since-time --timestamps --stream --limit-bytes -n --namespace --help" ;;
        exec) words="-i --stdin -t --tty -c --container -n --namespace --help" ;;
        attach) words="-i --stdin -t --tty --detach-keys -c --container -n --namespace --help" ;;
        cp) words="-c --container -n --namespace --help" ;;
        port-forward) words="--address -n --namespace --help" ;;
        top) words="--containers --sort-by -n --namespace -A --all-namespaces --help" ;;
        web) words="--port --help" ;;
        events) words="--for -n --namespace -A --all-namespaces -o --output --help" ;;
        inflight) words="-o --output --help" ;;
      esac
    elif (( COMP_CWORD == 2 )); then
      case "$command" in
        get) words="pods images events" ;;
        describe) words="pod" ;;
        logs|exec|attach|port-forward) words="$(_nodectl_pods)" ;;
        top) words="pods node" ;;
        completion) words="bash zsh fish" ;;
      esac
    else
      case "$command" in
        get|describe|top) words="$(_nodectl_pods)" ;;
      esac
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _nodectl nodectl
)sh";

constexpr std::string_view kZsh = R"sh(#compdef nodectl
# nodectl completion for zsh; load with: source <(nodectl completion zsh)
_nodectl_pods() {
  local -a pods
  pods=(${(f)"$(nodectl get pods -o name 2>/dev/null | sed 's|^pod/||')"})
  compadd -a pods
}

_nodectl() {
  local -a commands
  commands=(
    'get:list pods, images or events'
    'describe:tell all about a pod'
    'logs:print what a container wrote'
    'exec:run a command in a container'
    'attach:connect to the first process of a container'
    'cp:copy a file or folder from or to a container'
    'port-forward:make ports of a pod reachable here'
    'top:show CPU and memory in use'
    'web:serve a page about this node to a browser on it'
    'events:list what happened'
    'inflight:list outside calls that have not returned'
    'completion:print a completion script'
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  case "${words[2]}" in
    get)
      (( CURRENT == 3 )) && { compadd pods images events; return }
      _arguments '*:pod:_nodectl_pods' '(-o --output)'{-o,--output}'[format]:format:(wide json yaml name)' \
        '(-n --namespace)'{-n,--namespace}'[namespace]:namespace:' '(-A --all-namespaces)'{-A,--all-namespaces}'[all namespaces]' ;;
    describe)
      (( CURRENT == 3 )) && { compadd pod; return }
      _nodectl_pods ;;
    logs)
      _arguments '*:pod:_nodectl_pods' '(-f --follow)'{-f,--follow}'[follow]' \
        '(-p --previous)'{-p,--previous}'[previous instance]' '--timestamps[with times]' \
        '(-c --container)'{-c,--container}'[container]:container:' '--tail[last lines]:lines:' \
        '--since[newer than]:duration:' '--since-time[newer than]:time:' '--limit-bytes[at most]:bytes:' \
        '--stream[one of both]:stream:(all stdout stderr)' \
        '(-n --namespace)'{-n,--namespace}'[namespace]:namespace:' ;;
    exec|attach)
      local -a keys
      [[ "${words[2]}" = attach ]] && keys=('--detach-keys[keys that leave]:keys:')
      _arguments $keys '1:pod:_nodectl_pods' '(-i --stdin)'{-i,--stdin}'[pass our input on]' \
        '(-t --tty)'{-t,--tty}'[at a terminal]' '(-c --container)'{-c,--container}'[container]:container:' \
        '(-n --namespace)'{-n,--namespace}'[namespace]:namespace:' ;;
    cp)
      _arguments '(-c --container)'{-c,--container}'[container]:container:' '*:place:_files' ;;
    port-forward)
      _arguments '1:pod:_nodectl_pods' '--address[local address]:address:' '*:ports:' ;;
    top)
      (( CURRENT == 3 )) && { compadd pods node; return }
      _arguments '*:pod:_nodectl_pods' '--containers[a line for each container]' \
        '--sort-by[order]:order:(cpu memory)' ;;
    web) _arguments '--port[port on 127.0.0.1]:port:' ;;
    completion) compadd bash zsh fish ;;
  esac
}
if [[ "${funcstack[1]}" = "_nodectl" ]]; then
  _nodectl "$@"
else
  compdef _nodectl nodectl
fi
)sh";

constexpr std::string_view kFish =
    R"sh(# nodectl completion for fish; load with: nodectl completion fish | source
function __nodectl_pods
    nodectl get pods -o name 2>/dev/null | string replace -r '^pod/' ''
end

complete -c nodectl -f
complete -c nodectl -n __fish_use_subcommand -a get -d 'List pods, images or events'
complete -c nodectl -n __fish_use_subcommand -a describe -d 'Tell all about a pod'
complete -c nodectl -n __fish_use_subcommand -a logs -d 'Print what a container wrote'
complete -c nodectl -n __fish_use_subcommand -a exec -d 'Run a command in a container'
complete -c nodectl -n __fish_use_subcommand -a attach -d 'Connect to the first process of a container'
complete -c nodectl -n __fish_use_subcommand -a cp -d 'Copy from or to a container'
complete -c nodectl -n __fish_use_subcommand -a port-forward -d 'Make ports of a pod reachable here'
complete -c nodectl -n __fish_use_subcommand -a top -d 'Show CPU and memory in use'
complete -c nodectl -n __fish_use_subcommand -a web -d 'Serve a page about this node'
complete -c nodectl -n __fish_use_subcommand -a events -d 'List what happened'
complete -c nodectl -n __fish_use_subcommand -a inflight -d 'List outside calls that have not returned'
complete -c nodectl -n __fish_use_subcommand -a completion -d 'Print a completion script'
complete -c nodectl -l socket -r -F -d 'Socket of the agent'
complete -c nodectl -n '__fish_seen_subcommand_from get' -a 'pods images events'
complete -c nodectl -n '__fish_seen_subcommand_from get events' -s o -l output -x -a 'wide json yaml name'
complete -c nodectl -n '__fish_seen_subcommand_from get describe logs exec attach cp port-forward top events' -s n -l namespace -x
complete -c nodectl -n '__fish_seen_subcommand_from describe' -a pod
complete -c nodectl -n '__fish_seen_subcommand_from get describe logs exec attach port-forward top' -a '(__nodectl_pods)'
complete -c nodectl -n '__fish_seen_subcommand_from exec attach' -s i -l stdin
complete -c nodectl -n '__fish_seen_subcommand_from exec attach' -s t -l tty
complete -c nodectl -n '__fish_seen_subcommand_from attach' -l detach-keys -x
complete -c nodectl -n '__fish_seen_subcommand_from exec attach cp' -s c -l container -x
complete -c nodectl -n '__fish_seen_subcommand_from cp' -F
complete -c nodectl -n '__fish_seen_subcommand_from port-forward' -l address -x
complete -c nodectl -n '__fish_seen_subcommand_from top' -a 'pods node'
complete -c nodectl -n '__fish_seen_subcommand_from top' -l containers
complete -c nodectl -n '__fish_seen_subcommand_from top' -l sort-by -x -a 'cpu memory'
complete -c nodectl -n '__fish_seen_subcommand_from web' -l port -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -s f -l follow
complete -c nodectl -n '__fish_seen_subcommand_from logs' -s p -l previous
complete -c nodectl -n '__fish_seen_subcommand_from logs' -s c -l container -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l tail -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l since -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l since-time -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l limit-bytes -x
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l stream -x -a 'all stdout stderr'
complete -c nodectl -n '__fish_seen_subcommand_from logs' -l timestamps
complete -c nodectl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'
)sh";

}  // namespace

std::string_view CompletionScript(std::string_view shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

}  // namespace keelson::nodectl
