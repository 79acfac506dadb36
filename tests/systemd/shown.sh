# What the drives of this folder show of the clients of load.py.

# Who had no whole answer, and what the log has of that connection.
show_unanswered() { # server
    head -40 | while read -r line; do
        echo "$line"
        port=$(grep -o 'port [0-9]*' <<<"$line" | cut -d' ' -f2)
        [ -z "$port" ] || grep -h "127.0.0.1:$port " /var/log/herd/$1.log* | tail -8
    done
}
