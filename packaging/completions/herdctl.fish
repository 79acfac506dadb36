# Completes herdctl and herd in fish. Put it into a folder of $fish_complete_path under both names, or say:
# herdctl completions fish | source

# The names of the servers of herd.conf, of the one of --config if that was said.
function __herd_names
    set -l words (commandline -opc)
    set -l ctl $words[1]
    string match -qr 'herdctl$' -- $words[1]; or set ctl $words[1] ctl
    set -l config
    set -l at (contains -i -- --config $words); and set config --config $words[(math $at + 1)]
    set -l joined (string replace -rf '^--config=' '' -- $words); and set config --config $joined[-1]
    $ctl completions --names $config 2>/dev/null
end

# Whether `herd` is called as herdctl: `herd ctl`.
function __herd_is_ctl
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = ctl
end

# Whether the word at the cursor is the first behind `herd`: ctl comes first or not at all.
function __herd_is_first
    test (count (commandline -opc)) = 1
end

# The subcommand before the cursor, and its words.
function __herd_said
    set -l words (commandline -opc)
    set -l begin 2
    __herd_is_ctl; and set begin 3
    set -l said
    set -l is_value 0
    for word in $words[$begin..-1]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case --config -s --server --host --timeout --client --wait -n --lines --for -c --count -i --interval --near --km
                set is_value 1
            case '-*'
            case help
                test (count $said) = 0; or set -a said $word
            case '*'
                set -a said $word
        end
    end
    printf '%s\n' $said
end

function __herd_has_none
    set -l said (__herd_said)
    test "$said" = ''
end

# Whether one of these subcommands stands before the cursor.
function __herd_has
    set -l said (__herd_said)
    contains -- "$said[1]" $argv
end

# Whether the word at the cursor is the one of this place behind one of these subcommands.
function __herd_at
    set -l said (__herd_said)
    test (count $said) = $argv[1]; and contains -- "$said[1]" $argv[2..-1]
end

# Whether this may stand at the cursor behind `herd`, in the place of NAME: a name, or scopes.
function __herd_takes
    set -l words (commandline -opc)
    set -l taken name
    set -l is_value 0
    for word in $words[2..-1]
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case --new-token
                set taken scopes
                set is_value 1
            case '--new-token=*'
                set taken scopes
            case --config --wait --forget --phone --client
                set is_value 1
            case --agree --explain '--explain=*' -V --version -h --help
                # They take no name.
                return 1
            case '-*'
            case '*'
                # It is there.
                return 1
        end
    end
    test $taken = $argv[1]
end

# Whether all servers are meant, and so no name.
function __herd_is_for_all
    contains -- --all (commandline -opc)
end

complete -c herd -n 'not __herd_is_ctl' -f
complete -c herd -n 'not __herd_is_ctl; and __herd_takes name' -a '(__herd_names)' -d server
complete -c herd -n 'not __herd_is_ctl; and __herd_takes scopes' -a 'read write metrics read,write' -d scopes
complete -c herd -n 'not __herd_is_ctl; and __herd_is_first' -f -a ctl -d 'ask a running herd'
complete -c herd -n 'not __herd_is_ctl' -l config -r -F -d 'the file to use'
complete -c herd -n 'not __herd_is_ctl' -l check -d 'check herd.conf'
complete -c herd -n 'not __herd_is_ctl' -l agree -d 'tell whether all servers know the same'
complete -c herd -n 'not __herd_is_ctl' -l wait -x -d 'how long to go on asking'
complete -c herd -n 'not __herd_is_ctl' -l explain -x -d 'tell what a server makes of a line'
complete -c herd -n 'not __herd_is_ctl' -l forget -x -d 'have the herd forget a client'
complete -c herd -n 'not __herd_is_ctl' -l new-token -x -d 'make a token for HTTP'
complete -c herd -n 'not __herd_is_ctl' -l phone -x -d 'make a token for a phone'
complete -c herd -n 'not __herd_is_ctl' -l client -x -d 'the one client it is for'
complete -c herd -n 'not __herd_is_ctl' -s V -l version -d 'print the version'
complete -c herd -n 'not __herd_is_ctl' -s h -l help -d 'display usage information'

for program in herdctl herd
    set -l is_ctl true
    test $program = herd; and set is_ctl __herd_is_ctl
    set -l no_sub "$is_ctl; and __herd_has_none"
    set -l sub "$is_ctl; and __herd_has"
    set -l at "$is_ctl; and __herd_at"
    complete -c $program -n "$is_ctl" -f
    complete -c $program -n "$is_ctl" -l config -r -F -d 'the file to use'
    complete -c $program -n "$is_ctl" -s s -l server -x -a '(__herd_names)' -d 'the server to ask'
    complete -c $program -n "$is_ctl" -l host -x -d 'the host and the port to ask'
    complete -c $program -n "$is_ctl" -l json -d 'print an object of JSON a line'
    complete -c $program -n "$is_ctl" -l timeout -x -d 'how long a server may take'
    complete -c $program -n "$is_ctl" -s h -l help -d 'display usage information'
    complete -c $program -n "$no_sub" -s V -l version -d 'print the version'
    complete -c $program -n "$no_sub" -a at -d 'tell the position of a client'
    complete -c $program -n "$no_sub" -a whatsat -d 'list the places near a client'
    complete -c $program -n "$no_sub" -a near -d 'list the clients nearest to a position'
    complete -c $program -n "$no_sub" -a count -d 'tell how many clients a server knows'
    complete -c $program -n "$no_sub" -a send -d 'send lines of the protocol from stdin'
    complete -c $program -n "$no_sub" -a watch -d 'print where clients are, and each change'
    complete -c $program -n "$no_sub" -a ping -d 'measure how long a server takes to answer'
    complete -c $program -n "$no_sub" -a status -d 'tell how each server is'
    complete -c $program -n "$no_sub" -a agree -d 'tell whether all servers know the same'
    complete -c $program -n "$no_sub" -a top -d 'print the status again and again'
    complete -c $program -n "$no_sub" -a reload -d 'have servers read herd.conf again'
    complete -c $program -n "$no_sub" -a upgrade -d 'have a server become the next program'
    complete -c $program -n "$no_sub" -a check -d 'check herd.conf'
    complete -c $program -n "$no_sub" -a token -d 'make a token for HTTP'
    complete -c $program -n "$no_sub" -a phone -d 'make a token for a phone'
    complete -c $program -n "$no_sub" -a forget -d 'have the whole herd forget a client'
    complete -c $program -n "$no_sub" -a completions -d 'print what completes in a shell'
    complete -c $program -n "$no_sub" -a version -d 'print the version'
    complete -c $program -n "$no_sub" -a help -d 'print the help of a subcommand'
    complete -c $program -n "$sub watch" -s n -l lines -x -d 'end after so many lines'
    complete -c $program -n "$sub watch" -l for -x -d 'end after this time'
    complete -c $program -n "$sub ping top" -s c -l count -x -d 'how often to ask'
    complete -c $program -n "$sub ping top" -s i -l interval -x -d 'how long to wait between'
    complete -c $program -n "$sub agree" -l wait -x -d 'how long to go on asking'
    complete -c $program -n "$sub token phone" -l client -x -d 'the one client it is for'
    complete -c $program -n "$sub watch" -l near -x -d 'only clients near a position'
    complete -c $program -n "$sub watch" -l km -x -d 'how far from it'
    complete -c $program -n "$sub reload upgrade" -l all -d 'all servers, one after the other'
    complete -c $program -n "$sub completions" -l names -d 'print the names of servers'
    complete -c $program -n "$at 2 token" -a 'read write metrics read,write'
    complete -c $program -n "$at 1 status check reload upgrade; and not __herd_is_for_all" -a '(__herd_names)'
    complete -c $program -n "$at 2 phone" -a '(__herd_names)'
    complete -c $program -n "$at 1 completions" -a 'bash zsh fish'
end
