# Completes herdctl and herd in bash. Put it into /usr/share/bash-completion/completions/, under both names, or say:
# source <(herdctl completions bash)

# The words up to the cursor, as the shell reads them. Those of COMP_WORDS end at each `:` and `=`.
_herd_split() {
    local line=${COMP_LINE:0:COMP_POINT} word= quote= has= char i
    words=()
    for ((i = 0; i < ${#line}; i++)); do
        char=${line:i:1}
        if [[ -n $quote ]]; then
            if [[ $char == "$quote" ]]; then quote=; else word+=$char; fi
        elif [[ $char == [\'\"] ]]; then
            quote=$char has=1
        elif [[ $char == \\ ]]; then
            word+=${line:++i:1}
        elif [[ $char == [[:blank:]] ]]; then
            [[ -n $word$has ]] && words+=("$word")
            word= has=
        else
            word+=$char
        fi
    done
    words+=("$word")
    # The word at the cursor, and the option of which it is the value.
    last=$((${#words[@]} - 1))
    cur=${words[last]} before= joined=
    if [[ $cur == --*=* ]]; then
        before=${cur%%=*} cur=${cur#*=} joined=$before=
    elif ((last > 0)); then
        before=${words[last - 1]}
    fi
}

# Readline replaces what stands behind the last character at which it ends a word.
_herd_fit() {
    if [[ -n $joined && $COMP_WORDBREAKS != *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]/#/$joined}")
    elif [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${cur%:*}:"}")
    fi
}

# The names of the servers of herd.conf, of the one of --config if that was said.
_herd_names() {
    local -a ctl=("${words[0]/#\~/$HOME}") config=()
    local i
    [[ ${words[0]##*/} == herdctl* ]] || ctl+=(ctl)
    for ((i = 1; i < last; i++)); do
        case ${words[i]} in
        --config) ((i + 1 < last)) && config=(--config "${words[i + 1]/#\~/$HOME}") ;;
        --config=*) config=(--config "${words[i]#*=}") ;;
        esac
    done
    "${ctl[@]}" completions --names "${config[@]}" 2>/dev/null
}

_herd_reply() { # words
    local IFS=$' \t\n'
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_herd_files() {
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
}

_herdctl() { # the first word that may be the subcommand
    local sub= place=0 i
    local common="--config -s --server --host --json --timeout -h --help"
    # The subcommand, and which of its words this is.
    for ((i = $1; i < last; i++)); do
        case ${words[i]} in
        --config | -s | --server | --host | --timeout | --client | --wait | -n | --lines | --for | -c | --count | -i | --interval | --near | --km)
            ((i++)) ;;
        -*) ;;
        help) [[ -z $sub ]] || ((place++)) ;;
        *) if [[ -z $sub ]]; then sub=${words[i]}; else ((place++)); fi ;;
        esac
    done
    case $before in
    --config) _herd_files; return ;;
    -s | --server) _herd_reply "$(_herd_names)"; return ;;
    --host | --timeout | --client | --wait | -n | --lines | --for | -c | --count | -i | --interval | --near | --km) return ;;
    esac
    [[ -z $joined ]] || return
    if [[ -z $sub ]]; then
        _herd_reply "at whatsat near count send watch ping status agree top reload upgrade check token phone forget completions version help $common -V --version"
    elif [[ $cur == -* ]]; then
        case $sub in
        watch) common+=" -n --lines --for --near --km" ;;
        ping | top) common+=" -c --count -i --interval" ;;
        agree) common+=" --wait" ;;
        reload | upgrade) common+=" --all" ;;
        token | phone) common+=" --client" ;;
        completions) common+=" --names" ;;
        esac
        _herd_reply "$common"
    else
        # All and one exclude each other.
        case $sub:$place:" ${words[*]} " in *:0:*" --all "*) return ;; esac
        case $sub:$place in
        status:0 | check:0 | reload:0 | upgrade:0 | phone:1) _herd_reply "$(_herd_names)" ;;
        token:1) _herd_reply "read write metrics read,write" ;;
        completions:0) _herd_reply "bash zsh fish" ;;
        esac
    fi
}

# What may stand behind `herd` in the place of NAME.
_herd_place() {
    local scopes= i
    for ((i = 1; i < last; i++)); do
        case ${words[i]} in
        --new-token) scopes=1; ((i++)) ;;
        --new-token=*) scopes=1 ;;
        --config | --wait | --forget | --phone | --client) ((i++)) ;;
        # They take no name.
        --agree | --explain | --explain=* | -V | --version | -h | --help) return ;;
        -*) ;;
        # It is there.
        *) return ;;
        esac
    done
    if [[ -n $scopes ]]; then
        echo "read write metrics read,write"
    else
        # ctl comes first or not at all.
        ((last > 1)) || echo ctl
        _herd_names
    fi
}

_herd() {
    if ((last > 1)) && [[ ${words[1]} == ctl ]]; then
        _herdctl 2
        return
    fi
    case $before in
    --config) _herd_files ;;
    --wait | --explain | --forget | --new-token | --phone | --client) ;;
    *)
        if [[ -n $joined ]]; then
            return
        elif [[ $cur == -* ]]; then
            _herd_reply "--config --check --agree --wait --explain --forget --new-token --phone --client -V --version -h --help"
        else
            _herd_reply "$(_herd_place)"
        fi
        ;;
    esac
}

_herd_complete() {
    local -a words
    local cur before joined last
    COMPREPLY=()
    _herd_split
    if [[ ${words[0]##*/} == herdctl* ]]; then _herdctl 1; else _herd; fi
    _herd_fit
}
complete -F _herd_complete herdctl
complete -F _herd_complete herd
