# Starts and ends a vendor's database server in its container; written there by harness.control.imaged, which sets D (its
# folder), SIGNAL and TENTHS (of a second, until what does not stop is killed) before it.
# Usage: sh run.sh VERB. It needs a POSIX sh and coreutils.

# Everything but what ran before the first start, and this command with what started it.
others() {
  kept=" $(cat $D/before) $$ " p=$$
  while [ "$p" -gt 1 ]; do
    read -r line </proc/"$p"/stat || break
    set -- ${line##*) }
    p=$2 kept="$kept$2 "
  done
  rest=''
  for d in /proc/[0-9]*; do
    read -r line <$d/stat || continue
    set -- ${line##*) }
    case "$1" in Z|X) continue ;; esac
    case "$kept" in *" ${d#/proc/} "*) ;; *) rest="$rest ${d#/proc/}" ;; esac
  done 2>/dev/null
}

case "$1" in
start)
  p=''; [ ! -s $D/pid ] || read -r p <$D/pid
  [ -z "$p" ] || [ -s $D/exit ] || [ ! -d /proc/"$p" ] || exit 0  # it runs: a second one would take its port and data
  : >$D/exit; : >$D/pid
  # Twice: the second forks, so that nothing is in the background of a shell, which would make it ignore SIGINT.
  if command -v setsid >/dev/null; then
    setsid setsid sh $D/run.sh serve </dev/null >/dev/null 2>&1
  else
    sh $D/run.sh serve </dev/null >/dev/null 2>&1 &
  fi
  n=0; while [ ! -s $D/pid ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
  [ -s $D/pid ]
  ;;
serve)
  sh $D/main.sh >>$D/output.log 2>&1
  echo $? >$D/exit
  ;;
stop)
  p=''; [ ! -s $D/pid ] || read -r p <$D/pid
  [ -z "$p" ] || [ -s $D/exit ] || kill -"$SIGNAL" "$p" 2>/dev/null
  n=0; while [ -n "$p" ] && [ ! -s $D/exit ] && [ $n -lt $TENTHS ]; do sleep 0.1; n=$((n+1)); done
  # What is left ends with the container, as under an engine.
  n=0; others
  while [ -n "$rest" ] && [ $n -lt 100 ]; do
    kill -9 $rest 2>/dev/null
    sleep 0.1; n=$((n+1)); others
  done
  [ -z "$rest" ]
  ;;
state)  # "running", or "ended STATUS"
  if [ -s $D/exit ]; then read -r status <$D/exit; echo "ended $status"; else echo running; fi
  ;;
esac
