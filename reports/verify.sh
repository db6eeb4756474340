#!/bin/sh
# Checks a signed certificate with nothing but a shell, openssl and sha256sum, and answers as `harness verify` does.
# Usage: sh verify.sh FOLDER TRUST [REGISTER]
#   FOLDER    holds certificate-lines.dsse.json, adaptation.dsse.json, test-result.dsse.json and the files they name
#   TRUST     your own file (harness trust add), never out of FOLDER; a first line "xinchuang-trust 1", then for each key
#             key ROLES FROM UNTIL KEY ISSUER   roles: sign, log, time, with commas between; FROM and UNTIL: a time
#             (2026-01-31T00:00:00Z) or -; KEY: openssl pkey -pubin -in KEY.pem -outform DER | openssl base64 -A
#   REGISTER  the issuer's public register: is the certificate in its log, was it revoked since, is the log what it was
# With HARNESS_SEEN=FILE it is kept what was seen of the log, so that one that goes back or forks is found next time.
# Get this script apart from what it checks (harness verify --script), and compare its SHA-256 with the guide's.
# It does not look into the signatures of PDF files, whose digests are signed. Exit: 0 valid, 1 invalid, 3 could not check
set -u
LC_ALL=C
export LC_ALL
[ $# -ge 2 ] && [ $# -le 3 ] || { echo "usage: sh verify.sh FOLDER TRUST [REGISTER]" >&2; exit 3; }
folder=$1 trust=$2 register=${3:-} code=0 entered=''
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
unknown() { echo "could not check: $1"; [ "$code" = 1 ] || code=3; }
invalid() { echo "INVALID: $1"; code=1; }
finish() {
    case $code in 0) echo "valid 有效" ;; 1) echo "INVALID 无效" ;; *) echo "could not check 无法核验" ;; esac
    exit "$code"
}
sum() { # shellcheck disable=SC2046  # a digest and a dash
    set -- $(sha256sum <"$1"); echo "$1"; }
later() { # is $1 after $2; two times, or two days
    digits "$1"; first=$instant
    digits "$2"; [ "$first" -gt "$instant" ]
}
digits() { # of a time, as one number
    before=$IFS; IFS=-T:Z
    # shellcheck disable=SC2086
    set -- $1
    IFS=$before
    instant=$1${2:-}${3:-}${4:-}${5:-}${6:-}
}
has() { # file, line
    while IFS= read -r each; do [ "$each" = "$2" ] && return 0; done <"$1"
    return 1
}
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

for tool in openssl sha256sum sed grep sort date tail head cut cmp tr wc; do
    command -v "$tool" >/dev/null || { unknown "$tool is not installed"; finish; }
done
[ -d "$folder" ] || { unknown "$folder is no folder"; finish; }
[ -z "$register" ] || [ -d "$register" ] || { unknown "$register is no folder"; finish; }

# --- trust: $work/keys has "KEYID ROLES FROM UNTIL ISSUER" of each key, and KEYID.der, KEYID.pem are the keys ---

broken() { unknown "$trust is no file of trust: $1"; finish; }
is_time() { case $1 in -|[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z) ;; *) return 1 ;; esac; }
: >"$work/keys"
[ -f "$trust" ] || broken "it is not there"
[ "$(head -n 1 "$trust")" = 'xinchuang-trust 1' ] || broken "its first line is another one"
[ -z "$(tail -c 1 "$trust")" ] || broken "it is cut off"
sed 1d "$trust" >"$work/trust"
while IFS= read -r line; do
    rest=${line#key } roles='' from='' until='' spki=''
    roles=${rest%% *} rest=${rest#* }
    from=${rest%% *} rest=${rest#* }
    until=${rest%% *} rest=${rest#* }
    spki=${rest%% *} issuer=${rest#* }
    [ "$line" = "key $roles $from $until $spki $issuer" ] || broken "$line"
    is_time "$from" && is_time "$until" || broken "$line"
    printf %s "$spki" | openssl base64 -d -A >"$work/der" 2>/dev/null
    [ "$(openssl base64 -A <"$work/der")" = "$spki" ] && [ -n "$spki" ] || broken "$line"
    keyid=$(sum "$work/der")
    [ ! -f "$work/$keyid.der" ] || broken "it has the key ${keyid%"${keyid#????????????????}"} twice"
    mv "$work/der" "$work/$keyid.der"
    openssl pkey -pubin -inform DER -in "$work/$keyid.der" -out "$work/$keyid.pem" 2>/dev/null || rm -f "$work/$keyid.pem"
    case $spki in
        MCowBQYDK2VwAyEA*) echo ed25519 ;;
        MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAE*) echo sm2 ;;
        *) echo other ;;
    esac >"$work/$keyid.kind"
    echo "$keyid $roles $from $until $issuer" >>"$work/keys"
done <"$work/trust"

holds() { # keyid, message, signature
    read -r algorithm <"$work/$1.kind"
    case $algorithm in
        ed25519) openssl pkeyutl -verify -pubin -inkey "$work/$1.pem" -rawin -in "$2" -sigfile "$3" ;;
        sm2) openssl dgst -sm3 -verify "$work/$1.pem" -sigopt distid:1234567812345678 -signature "$3" "$2" ;;
        *) openssl dgst -sha256 -verify "$work/$1.pem" -signature "$3" "$2" ;;
    esac >/dev/null 2>&1
}

# --- envelopes ---

# Opens an envelope: its payload into $work/payload, the ids of its signatures into $work/ids, the lines of trust of the
# keys whose signatures hold into $work/by. Fails where none holds, or one of a trusted key does not.
opened() { # file, type of the payload
    base=${1##*/}
    [ -f "$1" ] || { unknown "$1 is not there"; return 1; }
    type=$(sed -n '2s/^ "payloadType": "\([^"\\]*\)",$/\1/p' "$1")
    sed -n '3s/^ "payload": "\([A-Za-z0-9+/=]*\)",$/\1/p' "$1" | openssl base64 -d -A >"$work/payload" 2>/dev/null
    sed -n 's/^  {"keyid": "\([^"\\]*\)",$/\1/p' "$1" >"$work/ids"
    sed -n 's/^   "sig": "\([A-Za-z0-9+/=]*\)"},\{0,1\}$/\1/p' "$1" >"$work/sigs"
    # The envelope made again of what was read: nothing else stands in it.
    {
        printf '{\n "payloadType": "%s",\n "payload": "' "$type"
        openssl base64 -A <"$work/payload"
        printf '",\n "signatures": [\n'
        comma='' count=0
        while IFS= read -r id && IFS= read -r sig <&3; do
            count=$((count + 1))
            printf %s "$sig" | openssl base64 -d -A >"$work/sig$count" 2>/dev/null
            printf '%s  {"keyid": "%s",\n   "sig": "%s"}' "$comma" "$id" "$(openssl base64 -A <"$work/sig$count")"
            comma=',
'
        done <"$work/ids" 3<"$work/sigs"
        printf '\n ]\n}\n'
    } >"$work/again"
    cmp -s "$work/again" "$1" || { invalid "$base is no envelope, or not as it was written"; return 1; }
    # Pre-authentication encoding of DSSE: what is signed is the type and the payload, each with its length.
    { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(wc -c <"$work/payload")"; cat "$work/payload"; } >"$work/message"
    : >"$work/by"
    some='' bad='' count=0
    while IFS= read -r id; do
        some=yes count=$((count + 1))
        while read -r keyid roles from until whose; do
            [ "$keyid" = "$id" ] || continue
            case ,$roles, in *,sign,*) ;; *) continue ;; esac
            [ -f "$work/$keyid.pem" ] || { unknown "this openssl cannot read the key $keyid"; bad=yes; continue; }
            if holds "$keyid" "$work/message" "$work/sig$count"; then echo "$keyid $roles $from $until $whose" >>"$work/by"
            else invalid "the signature of $keyid over $base does not hold"; bad=yes; fi
        done <"$work/keys"
    done <"$work/ids"
    [ -z "$bad" ] || return 1
    [ -n "$some" ] || { invalid "$base has no signature"; return 1; }
    [ -s "$work/by" ] || { unknown "$base is signed by no key that you trust"; return 1; }
    [ "$type" = "$2" ] || { invalid "$base is signed as something else than its name says"; return 1; }
    echo "ok: signatures of $base"
}

statement=application/vnd.in-toto+json
all=yes
for name in certificate-lines adaptation test-result; do
    type=$statement
    [ "$name" = certificate-lines ] && type=application/vnd.xinchuang.certificate+text
    if opened "$folder/$name.dsse.json" "$type"; then
        for part in payload ids by; do mv "$work/$part" "$work/$name.$part"; done
    else all=''; fi
done
[ -n "$all" ] || finish

# --- the certificate, line by line: a value is the rest of its line, and each line has its turn ---

take() { # key
    IFS= read -r line <&4 || return 1
    case $line in "$1 "*) value=${line#"$1 "} ;; *) return 1 ;; esac
}
certificate() {
    exec 4<"$work/certificate-lines.payload"
    IFS= read -r line <&4 && [ "$line" = 'xinchuang-certificate 1' ] || return 1
    take number && number=$value && take report && report=$value && take type && kind=$value || return 1
    take issuer && issuer=$value && take product && product=$value && take version && version=$value || return 1
    take vendor && vendor=$value && take issued && issued=$value && take until && last=$value || return 1
    take amends && amends=$value && take verifier && take adaptation && adaptation=$value || return 1
    take test-result && result=$value || return 1
    : >"$work/signers"; : >"$work/files"; : >"$work/platforms"
    stage=signer
    while IFS= read -r line <&4; do
        case $stage:$line in
            signer:'signer '*) echo "${line#signer }" >>"$work/signers" ;;
            signer:'file '*|file:'file '*) stage=file; echo "${line#file }" >>"$work/files" ;;
            file:'platform '*|platform:'platform '*) stage=platform; echo "${line#platform }" >>"$work/platforms" ;;
            platform:end) stage=end ;;
            *) return 1 ;;
        esac
    done
    is_time "$issued" && [ "$issued" != - ] || return 1
    case $last in -|[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]) ;; *) return 1 ;; esac
    [ "$stage" = end ] && [ -s "$work/signers" ]
}
certificate || { invalid "the lines of the certificate are not those that a certificate has"; finish; }
[ "$(sum "$work/adaptation.payload")" = "$adaptation" ] && [ "$(sum "$work/test-result.payload")" = "$result" ] ||
    { invalid "the statements are not those of the same certificate"; finish; }
echo "certificate: $number: $kind, report $report$([ "$amends" = - ] || echo ", in the place of $amends")"
echo "product: $product $version, by $vendor"
echo "issuer: $issuer, issued $issued, valid until $last"
sed 's/^/platform: /' "$work/platforms"

sort "$work/signers" >"$work/sorted"
cp "$work/certificate-lines.by" "$work/speaking"
for name in certificate-lines adaptation test-result; do
    sort "$work/$name.ids" | cmp -s - "$work/sorted" ||
        invalid "$name.dsse.json is not signed by exactly the keys that had to sign"
    : >"$work/own"
    : >"$work/still"
    while read -r keyid roles from until whose; do
        [ "$whose" = "$issuer" ] && echo "$keyid $roles $from $until $whose" >>"$work/own"
    done <"$work/$name.by"
    [ -s "$work/own" ] || invalid "$name.dsse.json is signed for $issuer by a key that does not speak for it"
    while IFS= read -r line; do
        has "$work/own" "$line" && echo "$line" >>"$work/still"
    done <"$work/speaking"
    mv "$work/still" "$work/speaking"
done

# --- files ---

printf '%s\n' certificate-lines.dsse.json adaptation.dsse.json test-result.dsse.json adaptation.tlog-proof \
    adaptation.tst >"$work/known"
while IFS= read -r line; do
    digest=${line%% *} name=${line#* }
    echo "$name" >>"$work/known"
    case $name in */*|.|..) invalid "$name leads out of the folder"; continue ;; esac
    if [ ! -f "$folder/$name" ]; then unknown "$name is not in the folder"
    elif [ "$(sum "$folder/$name")" = "$digest" ]; then echo "ok: $name"
    else invalid "$name is not the file that was signed"; fi
done <"$work/files"
for path in "$folder"/*; do
    [ -f "$path" ] || continue
    name=${path##*/}
    case $name in *.*) ;; *) continue ;; esac # a name without an ending (the lock of a workspace) is no document
    has "$work/known" "$name" || unknown "nothing that is signed speaks of a file beside it: $(printf %s "$name" | tr -d '[:cntrl:]')"
done
today=${now%T*}
if later "${issued%T*}" "$today"; then unknown "it was issued on $issued, and this clock says $now"
elif [ "$last" != - ] && later "$today" "$last"; then invalid "it expired on $last"; fi

# --- the log: RFC 6962 tree, C2SP checkpoint ---

hash() { openssl dgst -sha256 -binary; }
# Root of the first $1 lines of $register/entries.jsonl into $work/root. Subtrees wait on a stack, sizes in $stack.
tree() {
    stack='' n=0 depth=0
    while [ $n -lt "$1" ] && IFS= read -r line; do
        { printf '\000'; printf %s "$line"; } | hash >"$work/n$depth"
        stack="1 $stack" depth=$((depth + 1)) n=$((n + 1))
        # shellcheck disable=SC2086  # a list of sizes
        set -- "$1" $stack
        # shellcheck disable=SC2086
        while [ $# -ge 3 ] && [ "$2" = "$3" ]; do join; set -- "$1" $stack; done
    done <"$register/entries.jsonl"
    [ $n -eq "$1" ] || return 1
    while [ $depth -gt 1 ]; do join; done
    [ $depth -eq 1 ] && mv "$work/n0" "$work/root"
}
join() { # the two topmost subtrees
    { printf '\001'; cat "$work/n$((depth - 2))" "$work/n$((depth - 1))"; } | hash >"$work/j"
    mv "$work/j" "$work/n$((depth - 2))"
    # shellcheck disable=SC2086  # a list of sizes
    set -- $stack
    joined=$(($1 + $2)); shift 2
    stack="$joined $*" depth=$((depth - 1))
}

# Sets $origin, $size, $root and $log (the line of trust) from a note that a log key of the issuer signed.
noted() { # file, what it is
    sed -n '1,3p' "$1" >"$work/body"
    origin=$(sed -n 1p "$1") size=$(sed -n 2p "$1") root=$(sed -n 3p "$1") log=''
    case $size in ''|*[!0-9]*|0?*|??????????*) invalid "$2 has no checkpoint"; return 1 ;; esac
    [ -n "$origin" ] && [ -z "$(sed -n 4p "$1")" ] || { invalid "$2 has no checkpoint"; return 1; }
    printf %s "$root" | openssl base64 -d -A >"$work/top" 2>/dev/null
    [ "$(wc -c <"$work/top")" -eq 32 ] && [ "$(openssl base64 -A <"$work/top")" = "$root" ] ||
        { invalid "$2 has no checkpoint"; return 1; }
    [ -z "$(tail -c 1 "$1")" ] || { invalid "$2 is cut off"; return 1; }
    sed 1,4d "$1" >"$work/signatures"
    logs=''
    while IFS= read -r line; do
        rest=${line#'— '} name=${rest%% *} value=${rest#* }
        printf %s "$value" | openssl base64 -d -A >"$work/signed" 2>/dev/null
        [ "$line" = "— $name $value" ] && [ "$(wc -c <"$work/signed")" -eq 68 ] &&
            [ "$(openssl base64 -A <"$work/signed")" = "$value" ] || { invalid "$2 has a signature of no form"; return 1; }
        tail -c 64 "$work/signed" >"$work/note.sig"
        while read -r keyid roles from until whose; do
            case ,$roles, in *,log,*) ;; *) continue ;; esac
            [ "$whose" = "$issuer" ] || continue
            logs="$logs xinchuang-harness/${keyid%"${keyid#????????????????}"} "
            { printf '%s\n\001' "$name"; tail -c 32 "$work/$keyid.der"; } | hash | head -c 4 >"$work/hint"
            head -c 4 "$work/signed" | cmp -s - "$work/hint" && [ -z "$log" ] || continue
            holds "$keyid" "$work/body" "$work/note.sig" || { invalid "the signature of $2 does not hold"; return 1; }
            log="$keyid $from $until"
        done <"$work/keys"
    done <"$work/signatures"
    [ -n "$log" ] || { unknown "$2 is not signed by a log key of $issuer that you trust"; return 1; }
    case $logs in *" $origin "*) ;; *) invalid "$2 is of another log: $origin"; return 1 ;; esac
}
spoke() { # whether the key of the last note speaks now
    keyid=${log%% *} from=${log#* } until=${log##* }
    from=${from% *}
    { [ "$from" = - ] || ! later "$from" "$now"; } && { [ "$until" = - ] || ! later "$now" "$until"; }
}
goes_on() { # origin, size, root, where it is from: are the first entries those that were signed then
    [ "$1" = "$log_origin" ] || { invalid "it is another log than that of $4"; return 1; }
    if tree "$2" && [ "$(openssl base64 -A <"$work/root")" = "$3" ]; then return 0; fi
    invalid "the log shows another past than $4, or is shorter: a fork, or an older copy"
    return 1
}

# The proof beside the certificate: its entry is this certificate's, and leads to the root of its checkpoint.
proof() {
    file=$folder/adaptation.tlog-proof
    [ -e "$file" ] || return 0
    sed -n '2s/^extra //p' "$file" | openssl base64 -d -A >"$work/entry" 2>/dev/null
    index=$(sed -n '3s/^index //p' "$file")
    case $index in ''|*[!0-9]*|0?*|??????????*) invalid "the proof has no index"; return 1 ;; esac
    sed -n '4,/^$/p' "$file" | sed '/^$/d' >"$work/path"
    sed '1,/^$/d' "$file" >"$work/note"
    {
        printf 'c2sp.org/tlog-proof@v1\nextra %s\nindex %s\n' "$(openssl base64 -A <"$work/entry")" "$index"
        cat "$work/path"
        echo
        cat "$work/note"
    } | cmp -s - "$file" || { invalid "the proof is not as it was written"; return 1; }
    noted "$work/note" "the proof beside the certificate" || return 1
    case $(cat "$work/entry") in
        "{\"kind\":\"certificate\",\"number\":\"$number\",\"sha256\":\"$digest\",\"time\":\""*\"}) ;;
        *) invalid "the proof is of another statement"; return 1 ;;
    esac
    last_index=$((size - 1))
    { printf '\000'; cat "$work/entry"; } | hash >"$work/value"
    [ "$index" -lt "$size" ] || { invalid "the proof is of an entry that the log does not have"; return 1; }
    place=$index
    while IFS= read -r node; do
        printf %s "$node" | openssl base64 -d -A >"$work/node" 2>/dev/null
        [ "$(openssl base64 -A <"$work/node")" = "$node" ] && [ "$(wc -c <"$work/node")" -eq 32 ] &&
            [ $last_index -gt 0 ] || { invalid "the proof does not lead to its checkpoint"; return 1; }
        if [ $((place & 1)) -eq 1 ] || [ "$place" -eq $last_index ]; then
            { printf '\001'; cat "$work/node" "$work/value"; } | hash >"$work/j"
            while [ "$place" -ne 0 ] && [ $((place & 1)) -eq 0 ]; do
                place=$((place >> 1)) last_index=$((last_index >> 1))
            done
        else
            { printf '\001'; cat "$work/value" "$work/node"; } | hash >"$work/j"
        fi
        mv "$work/j" "$work/value"
        place=$((place >> 1)) last_index=$((last_index >> 1))
    done <"$work/path"
    [ $last_index -eq 0 ] && [ "$(openssl base64 -A <"$work/value")" = "$root" ] ||
        { invalid "the proof does not lead to its checkpoint"; return 1; }
    if [ -z "$register" ]; then
        spoke || { unknown "the key of the proof's checkpoint ended on $until: name the register"; return 1; }
        at=$(cat "$work/entry")
        at=${at##*'","time":"'}
        entered=${at%%\"*}
    fi
    proof_origin=$origin proof_size=$size proof_root=$root
    echo "ok: the proof beside the certificate"
}

log() {
    if [ ! -f "$register/entries.jsonl" ] || [ ! -f "$register/checkpoint" ]; then
        unknown "$register holds no log"; return 1
    fi
    [ -z "$(tail -c 1 "$register/entries.jsonl")" ] || { unknown "the log is cut off"; return 1; }
    noted "$register/checkpoint" "the log" || return 1
    log_origin=$origin log_size=$size log_root=$root log_key=${log%% *}
    goes_on "$origin" "$size" "$root" "its own checkpoint" || return 1
    if [ -n "$proof_origin" ]; then
        goes_on "$proof_origin" "$proof_size" "$proof_root" "the proof beside the certificate" || return 1
    fi
    if [ -n "${HARNESS_SEEN:-}" ]; then
        if [ -f "$HARNESS_SEEN" ]; then
            seen=''
            while read -r seen_origin seen_size seen_root; do
                [ "$seen_origin" = "$log_origin" ] && seen="$seen_size $seen_root"
            done <"$HARNESS_SEEN"
            if [ -n "$seen" ]; then
                goes_on "$log_origin" "${seen%% *}" "${seen#* }" "what was seen of it before" || return 1
            fi
        fi
        echo "$log_origin $log_size $log_root" >>"$HARNESS_SEEN"
    fi
    spoke || { unknown "the log's checkpoint is signed by a key that ended on $until: get the register anew"; return 1; }
    echo "ok: the log of $log_size entries"
}

# The entries: $entered of this certificate, $newest of its number, digests of all status lists in $work/lists.
entries() {
    newest=''
    : >"$work/lists"
    sed -n "1,${log_size}p" "$register/entries.jsonl" >"$work/entries"
    while IFS= read -r line; do
        case $line in
            "{\"kind\":\"certificate\",\"number\":\"$number\",\"sha256\":\""*)
                rest=${line#"{\"kind\":\"certificate\",\"number\":\"$number\",\"sha256\":\""}
                newest=${rest%%\"*} rest=${rest#*'","time":"'}
                [ "$newest" = "$digest" ] && [ -z "$entered" ] && entered=${rest%%\"*} ;;
            '{"kind":"status","lines":"'*)
                rest=${line#'{"kind":"status","lines":"'}
                lines=${rest%%\"*} rest=${line#*'"sha256":"'}
                echo "$lines ${rest%%\"*}" >>"$work/lists" ;;
        esac
    done <"$work/entries"
}

listed() { # file, column: is it the newest list of the log, and signed by a key that speaks for the issuer now
    opened "$1" "$3" || return 1
    own=''
    while read -r keyid roles from until whose; do
        [ "$whose" = "$issuer" ] && { [ "$from" = - ] || ! later "$from" "$now"; } &&
            { [ "$until" = - ] || ! later "$now" "$until"; } && own=yes
    done <"$work/by"
    [ -n "$own" ] || { invalid "${1##*/} is signed by no key that speaks for $issuer now"; return 1; }
    is=$(sum "$1")
    [ "$(tail -n 1 "$work/lists" | cut -d' ' -f"$2")" = "$is" ] && return 0
    if cut -d' ' -f"$2" "$work/lists" | grep -qxF "$is"; then
        invalid "an older status list was put in the place of the newest"
    else unknown "the log does not know this ${1##*/}"; fi
    return 1
}

status() {
    listed "$register/status.dsse.json" 2 application/vnd.xinchuang.status+json || return
    listed "$register/status-lines.dsse.json" 1 application/vnd.xinchuang.status+text || return
    exec 4<"$work/payload"
    IFS= read -r line <&4 && [ "$line" = 'xinchuang-status 1' ] && take sequence && sequence=$value &&
        take this && take next && next=$value || { invalid "the status list has another form"; return; }
    closed='' answer=''
    while IFS= read -r line <&4; do
        rest=${line#* }
        state=${rest%% *} rest=${rest#* }
        time=${rest%% *} rest=${rest#* }
        what=${rest%% *}
        case $closed:$line in
            :'certificate '*) [ "$what" = "$number" ] && answer="$number: $state on $time, by ${rest#* }" ;;
            :'key '*)
                echo "$what $time $state" >>"$work/ended"
                [ "$what" = "$log_key" ] && { invalid "the log is signed by a key that its own list has ended"; return; } ;;
            :end) closed=yes ;;
            *) invalid "the status list has another form"; return ;;
        esac
    done
    [ -n "$closed" ] || { invalid "the status list has another form"; return; }
    entered_in_log
    if [ -n "$answer" ]; then invalid "$answer"
    elif later "$now" "$next"; then unknown "the status list is stale: a newer one was due on $next"
    else echo "ok: $number is active by list $sequence"; fi
}

entered_in_log() {
    if [ -z "$entered" ]; then invalid "the log does not have this certificate"
    elif [ "$newest" != "$digest" ]; then entered=''; invalid "superseded by another certificate of the same number"
    else echo "ok: entered on $entered"; fi
}

digest=$(sum "$folder/adaptation.dsse.json") proof_origin=''
: >"$work/ended"
if proof && [ -n "$register" ] && log; then
    entries
    status
fi

# --- the time stamp (RFC 3161): its signature, what it is over, and whether a key that you bound as `time` made it ---

stamped=''
stamp() {
    file=$folder/adaptation.tst
    [ -e "$file" ] || return 0
    openssl cms -verify -inform DER -in "$file" -noverify -signer "$work/tsa.pem" -out "$work/tst" 2>/dev/null &&
        openssl ts -verify -token_in -in "$file" -digest "$digest" -CAfile "$work/tsa.pem" -partial_chain -no_check_time \
            >/dev/null 2>&1 || { invalid "the time stamp does not hold, or is over something else"; return; }
    time=$(openssl asn1parse -inform DER -in "$work/tst" | sed -n 's/.*GENERALIZEDTIME *:\([0-9]\{14\}\).*/\1/p' | head -n 1)
    time=$(printf %s "$time" | sed 's/\(....\)\(..\)\(..\)\(..\)\(..\)\(..\)/\1-\2-\3T\4:\5:\6Z/')
    openssl x509 -in "$work/tsa.pem" -pubkey -noout 2>/dev/null | openssl pkey -pubin -outform DER -out "$work/tsa.der" 2>/dev/null
    is=$(sum "$work/tsa.der")
    while read -r keyid roles from until whose; do
        case ,$roles, in *,time,*) [ "$keyid" = "$is" ] && stamped=$time ;; esac
    done <"$work/keys"
    echo "ok: time stamp of $time$([ -n "$stamped" ] || echo ', by a key that you did not bind as time: not counted')"
}
stamp

# --- the keys: did one speak for the issuer when it signed; the time of issue is its own word, an entry is the log's ---

best=''
while read -r keyid roles from until whose; do
    while read -r ended time state; do
        [ "$ended" = "$keyid" ] && { [ "$until" = - ] || later "$until" "$time"; } && until=$time
    done <"$work/ended"
    if [ "$from" != - ] && later "$from" "$issued"; then answer=invalid
    elif [ "$until" = - ]; then answer=valid
    elif later "$issued" "$until"; then answer=invalid
    elif [ -n "$entered" ] && later "$until" "$entered"; then answer=valid # in the same second is not before
    elif [ -n "$stamped" ] && later "$until" "$stamped"; then answer=valid
    elif [ -n "$entered" ] || [ -n "$register" ]; then answer=invalid
    else answer=unknown; fi
    case $best:$answer in valid:*|unknown:invalid) ;; *) best=$answer; which="$keyid, which ended on $until" ;; esac
done <"$work/speaking"
case $best in
    valid) echo "ok: a key that speaks for $issuer" ;;
    unknown) unknown "signed by $which: name the register, which shows whether it signed before" ;;
    invalid) invalid "signed by $which, or began later: nothing shows that it signed in its time" ;;
    *) invalid "no key of $issuer signed all of it" ;;
esac
finish
