# Gives the steps of several sessions to clients of a database that stay, in the order of its last lines, and prints
# what came of each. Before it stand: client (starts one, in place of this shell), shell (by which a client runs a
# command of the shell), look, bound, patience and whole (seconds).
d=$(mktemp -d) && cd "$d" || exit 1
trap 'rm -rf "$d"' EXIT
# A client says by this where its answer ends: what it printed until then, in bytes.
cat >mark <<'MARK'
echo "$(wc -c <"$2.out") $(wc -c <"$2.err")" >"$1.tmp"; mv "$1.tmp" "$1.end"
MARK
clients='' holders='' sessions='' steps=0 stuck=

open() {
  mkfifo "$1.in"
  : >"$1.out" >"$1.err"
  # Keeps the pipe open between two steps, and what is in it until the client comes.
  (exec <>"$1.in" >"$1.held" 2>&1; exec sleep $whole) &
  holders="$holders $!"
  until [ -e "$1.held" ]; do sleep 0.01; done
  (client) <"$1.in" >>"$1.out" 2>>"$1.err" &
  eval "pid_$1=$!"
  clients="$clients $!" sessions="$sessions $1"
}

# Whether a step was answered in time: 0; 1: not yet; 2: its client has ended.
met() {
  limit=$(($(date +%s) + $3 + 1))
  until [ -e "$1.end" ]; do
    if ! kill -0 "$2" 2>/dev/null; then [ -e "$1.end" ] || return 2; return 0; fi
    [ "$(date +%s)" -lt "$limit" ] || return 1
    sleep 0.05
  done
}

# Gives a session a step, and looks at nothing.
give() {
  steps=$((steps + 1))
  [ -z "$stuck" ] || return 0
  eval "p=\${pid_$1:-} last=\${last_$1:-}"
  if [ -z "$p" ]; then open "$1"; eval "p=\$pid_$1"; fi
  if [ -n "$last" ]; then met "$last" "$p" "$bound"; [ $? -ne 1 ] || { stuck=1; return 0; }; fi
  echo "given $steps"
  # Opened for reading too, so that a client that has ended takes nothing with it.
  printf '%s\n%s sh ./mark %s %s\n' "$2" "$shell" "$steps" "$1" 1<>"$1.in"
  eval "last_$1=$steps"
}

step() {
  give "$@"
  [ -z "$stuck" ] || return 0
  met "$steps" "$p" "$look"
  [ $? -ne 1 ] || echo "waited $steps"
}

finish() {
  [ -n "$stuck" ] || for s in $sessions; do eval "met \$last_$s \$pid_$s $patience"; done
  n=0
  while [ $n -lt $steps ]; do
    n=$((n + 1))
    [ ! -e $n.end ] || echo "end $n $(cat $n.end)"
  done
  for s in $sessions; do
    eval "kill -0 \$pid_$s 2>/dev/null" || echo "ended $s"
    echo "out $s $(base64 <$s.out | tr -d '\n')"
    echo "err $s $(base64 <$s.err | tr -d '\n')"
  done
  kill $holders $clients 2>/dev/null
  wait 2>/dev/null
}
