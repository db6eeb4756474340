# Starts, watches and ends a product on its machine; written there by harness.control.supervised.
# Usage: sh control.sh VERB ARGUMENTS. It needs a POSIX sh, setsid, grep and coreutils.
#
# Each start has a name. Of start R these are kept in $D, over restarts of the machine too:
#   R.pid         process id of the product's first process, which leads the product's own session
#   R.supervisor  process id of the shell that waits for it
#   R.reaper      process id of what all orphans of the start come to, and which started the supervisor
#   R.asked       there if the harness asked for its end
#   R.end         status, processes ended for lack of memory, time (seconds since 1970)
# Who writes this script sets before it: H, a folder of the running machine; D, that of the starts; LOG, a file.
# $H/grouped names the folder of a cgroup of the product's own, where it has one; $H/reaper a program that the orphans
# of what it starts come to (docker-init -s), where there is one.
umask 022

# The first line of a file, empty where there is none: into $line. Each program that is started here takes a tenth of a
# second on an emulated machine, so what the shell can do itself it does itself.
first_line() {
  line=''
  [ ! -r "$1" ] || read -r line <"$1"
} 2>/dev/null

# Processes that the kernel has ended for memory: into $oom.
count_oom() {
  oom=0
  for f in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r $f ] || continue
    while read -r k v; do [ "$k" != oom_kill ] || oom=$v; done <$f
  done
}

# What start $1 has brought to life and still lives: into $members. It is known by the session, by the environment
# that its processes inherited, by who started whom, and by the cgroup, which no process leaves by itself.
find_members() {
  first_line "$D/$1.pid"
  run=$1 leader=$line members=' ' table=''
  for d in /proc/[0-9]*; do
    l=''
    read -r l <$d/stat || continue
    set -- ${l##*) }
    case "$1" in Z|X|'') continue ;; esac
    [ "${d#/proc/}" != "$$" ] || continue
    table="$table ${d#/proc/}:$2"
    [ "$4" != "$leader" ] || members="$members${d#/proc/} "
  done 2>/dev/null
  for f in $(grep -ls "HARNESS_RUN=$run" /proc/[0-9]*/environ 2>/dev/null); do
    f=${f#/proc/}; f=${f%/environ}
    case "$members" in *" $f "*) continue ;; esac
    case "$table " in *" $f:"*) members="$members$f " ;; esac
  done
  first_line $H/grouped
  [ -z "$line" ] || while read -r f; do
    case "$members" in *" $f "*) continue ;; esac
    case "$table " in *" $f:"*) members="$members$f " ;; esac
  done 2>/dev/null <"$line/cgroup.procs"
  find_orphans
  more=1
  while [ -n "$more" ]; do
    more=''
    for pair in $table; do
      case "$members" in *" ${pair%%:*} "*) continue ;; esac
      case "$members" in *" ${pair##*:} "*) members="$members${pair%%:*} " more=1 ;; esac
    done
  done
  members=${members# } members=${members% }
  # What only waited for the last orphan has nothing to wait for.
  if [ -n "$reaper" ] && [ -z "$members" ] && [ -s "$D/$run.end" ]; then kill "$supervisor" 2>/dev/null; fi
}

# Adds to $members what start $run has left to its reaper. That lives as long as the supervisor, so a process that got
# its number later is not taken for it.
find_orphans() {
  first_line "$D/$run.reaper"; reaper=$line
  first_line "$D/$run.supervisor"; supervisor=$line
  [ -n "$reaper" ] || return 0
  case "$table " in *" $supervisor:$reaper "*) ;; *) reaper=''; return 0 ;; esac
  for pair in $table; do
    [ "${pair##*:}" = "$reaper" ] && [ "${pair%%:*}" != "$supervisor" ] || continue
    case "$members" in *" ${pair%%:*} "*) ;; *) members="$members${pair%%:*} " ;; esac
  done
}

# Whether this shell's reaper has other children than this shell.
has_orphans() {
  for d in /proc/[0-9]*; do
    read -r l <$d/stat || continue
    set -- ${l##*) }
    [ "$2" = $PPID ] && [ "$1" != Z ] && [ "${d#/proc/}" != $$ ] && return 0
  done 2>/dev/null
  return 1
}

# Whether a declared port (in hexadecimal: $ports) is listened on.
held() {
  for f in /proc/net/tcp /proc/net/tcp6; do
    while read -r a local b state rest; do
      [ "$state" = 0A ] || continue
      case " $ports " in *" ${local##*:} "*) return 0 ;; esac
    done <$f
  done 2>/dev/null
  return 1
}

alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

wait_for_end() {  # of start $1, in tenths of a second $2
  n=0
  while [ ! -s "$D/$1.end" ] && [ $n -lt "$2" ]; do sleep 0.1; n=$((n+1)); done
}

verb=$1
first_line $H/app.run; run=$line
case "$verb" in
start)  # NAME PORTS: status 97 where a port is held by what an earlier start left behind
  name=$2 ports=$3 key=${2%%-*} n=0
  for f in $D/$key-*.pid; do
    [ -e "$f" ] || break
    while held; do
      [ $n -lt 30 ] || exit 97
      sleep 0.1; n=$((n+1))
    done
    break
  done
  : >$H/app.pid; echo "$name" >$H/app.run
  # Twice: the second forks, so that nothing is in the background of a shell, which would make it ignore SIGINT.
  first_line $H/reaper
  setsid setsid ${line:+"$line" -s --} sh $H/control.sh supervise "$name" </dev/null >/dev/null 2>&1
  n=0; while [ ! -s $H/app.pid ] && [ $n -lt 100 ]; do sleep 0.02; n=$((n+1)); done
  first_line $H/app.pid; alive "$line"
  ;;
supervise)  # NAME
  name=$2
  first_line $H/reaper; [ -z "$line" ] || echo $PPID >$D/$name.reaper
  echo $$ >$D/$name.supervisor
  count_oom; before=$oom; with=''
  while read -r k v; do  # SIGINT and SIGQUIT, which some ways in ignore for everything that they start
    case "$k$v" in SigIgn:*[2-7a-f])
      if env --default-signal=INT,QUIT true 2>/dev/null; then with='env --default-signal=INT,QUIT'; fi ;;
    esac
  done </proc/self/status
  echo "--- start $name" >>$LOG
  HARNESS_RUN=$name setsid $with sh $H/start.sh "$name" >>$LOG 2>&1 </dev/null
  status=$?
  count_oom
  echo "$status $((oom-before)) $(date +%s)" >$D/$name.part
  # The reaper ends with this process, and with it the knowledge whose orphans those are that still live.
  stay=''; [ ! -s $D/$name.reaper ] || ! has_orphans || stay=1
  mv $D/$name.part $D/$name.end
  [ -z "$stay" ] || exec sleep infinity
  ;;
state)  # NAME-OF-START PROCESS STATUS; the last is - while it runs and "lost" where nobody saw its end
  first_line $H/app.pid; pid=$line
  first_line "$D/$run.supervisor"
  if [ -s "$D/$run.end" ]; then read -r status rest <"$D/$run.end"
  elif [ -z "$run" ] || alive "$line" || alive "$pid"; then status=-
  elif [ -s "$D/$run.end" ]; then read -r status rest <"$D/$run.end"
  else status=lost
  fi
  if alive "$pid"; then running=1; else running=0; fi
  echo "${run:-none} ${pid:-0} $running $status"
  ;;
stop)  # SIGNAL TENTHS-OF-A-SECOND WHOM(process or group)
  first_line "$D/$run.pid"; pid=$line
  [ -s "$D/$run.end" ] || : >"$D/$run.asked"
  if [ "$4" = group ]; then kill -"$2" "-$pid"; else kill -"$2" "$pid"; fi 2>/dev/null
  wait_for_end "$run" "$3"
  [ -s "$D/$run.end" ] || exit 1
  read -r status rest <"$D/$run.end"
  echo "$status"
  n=0; find_members "$run"
  while [ -n "$members" ] && [ $n -lt 20 ]; do sleep 0.1; n=$((n+1)); find_members "$run"; done
  ;;
kill)
  [ -s "$D/$run.end" ] || : >"$D/$run.asked"
  n=0; find_members "$run"
  kill -9 "$leader" 2>/dev/null
  while [ -n "$members" ] && [ $n -lt 100 ]; do
    kill -9 $members 2>/dev/null
    [ $n -eq 0 ] || sleep 0.1
    n=$((n+1)); find_members "$run"
  done
  wait_for_end "$run" 50
  [ -z "$members" ]
  ;;
asked)  # what follows ends the product on purpose
  [ -s "$D/$run.end" ] || : >"$D/$run.asked"
  ;;
ends)  # KEY: NAME STATUS OUT-OF-MEMORY TIME of each end that nobody asked for, then how many starts there were
  starts=0
  for f in $D/$2-*.pid; do
    [ -e "$f" ] || break
    starts=$((starts+1)) name=${f##*/}; name=${name%.pid}
    [ ! -e "$D/$name.asked" ] || continue
    if [ -s "$D/$name.end" ]; then read -r status oom at <"$D/$name.end"; echo "$name $status $oom $at"
      continue
    fi
    first_line "$D/$name.supervisor"; supervisor=$line
    first_line "$f"
    if alive "$supervisor" || alive "$line" || [ -s "$D/$name.end" ]; then :
    else echo "$name lost 0 0"
    fi
  done
  echo "starts $starts"
  ;;
said)  # NAME LINES: the last lines that a start printed
  tail -c 4000000 $LOG 2>/dev/null | sed -n "/^--- start $2\$/,\$p" | sed -n '1d; /^--- start /q; p' | tail -n "$3"
  ;;
left)  # the members of the present start, and those of earlier ones, with their command lines
  for f in $D/${run%%-*}-*.pid; do
    [ -e "$f" ] || break
    name=${f##*/}; find_members "${name%.pid}"
    for p in $members; do echo "$p $(tr '\000\n' '  ' </proc/$p/cmdline 2>/dev/null)"; done
  done
  ;;
listening)  # the present start's members, those whose files may not be looked at, their sockets; tables of the kernel
  find_members "$run"
  for p in $members; do
    # Root of a container may not look into a process that has changed its user.
    if [ -e /proc/$p/cwd ]; then echo "member $p"; ls -l /proc/$p/fd
    elif read -r l </proc/$p/stat; then
      case "${l##*) }" in Z*|X*) ;; *) echo "hidden $p" ;; esac
    fi
  done 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/socket \1/p; /^member [0-9]*$/p; /^hidden [0-9]*$/p'
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
  [ -s /proc/net/if_inet6 ] && echo has-ipv6
  ;;
esac
