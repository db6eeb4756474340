#!/bin/sh
# Checks a signed result with nothing but a shell, openssl and sha256sum.
# Usage: sh verify.sh FOLDER PUBLIC_KEY.pem [REGISTER [LOG_KEY.pem]]
#   FOLDER      holds adaptation.dsse.json, test-result.dsse.json and the files that they speak of
#   PUBLIC_KEY  the issuer's, got from the issuer and not from FOLDER: Ed25519, P-256, or SM2 (OpenSSL 3)
#   REGISTER    the issuer's public register: is the certificate in its log, was it revoked since, is the log what it was
#   LOG_KEY     the issuer's Ed25519 key, which signs the log, where PUBLIC_KEY is another one
# With HARNESS_SEEN=FILE it is kept what was seen of the log, so that one that goes back or forks is found next time.
# Exit codes: 0 valid, 1 invalid, 3 could not check
set -u
[ $# -ge 2 ] && [ $# -le 4 ] ||
    { echo "usage: sh verify.sh FOLDER PUBLIC_KEY.pem [REGISTER [LOG_KEY.pem]]" >&2; exit 3; }
folder=$1 key=$2 register=${3:-} log_key=${4:-$2} code=0 number='' until=''
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
unknown() { echo "could not check: $1"; [ "$code" = 1 ] || code=3; }
invalid() { echo "INVALID: $1"; code=1; }

for tool in openssl sha256sum sed grep sort date tail; do
    command -v "$tool" >/dev/null || { unknown "$tool is not installed"; exit 3; }
done
openssl pkey -pubin -in "$key" -outform DER -out "$work/key.der" 2>/dev/null ||
    { unknown "$key is no public key that this openssl can read"; exit 3; }
[ -z "$register" ] || [ -d "$register" ] || { unknown "$register is no folder"; exit 3; }
keyid=$(sha256sum <"$work/key.der" | cut -d' ' -f1)
text=$(openssl pkey -pubin -in "$key" -noout -text 2>/dev/null)

holds() { # message, signature
    case $text in
        *ED25519*) openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$1" -sigfile "$2" ;;
        *SM2*) openssl dgst -sm3 -verify "$key" -sigopt distid:1234567812345678 -signature "$2" "$1" ;;
        *) openssl dgst -sha256 -verify "$key" -signature "$2" "$1" ;;
    esac >/dev/null 2>&1
}

# Leaves the payload of an envelope in $work/payload, if its signature by this key holds.
opened() { # file
    [ -f "$1" ] || { unknown "$1 is not there"; return 1; }
    sed -n 's/^ "payload": "\([A-Za-z0-9+\/=]*\)",$/\1/p' "$1" | openssl base64 -d -A >"$work/payload"
    type=$(sed -n 's/^ "payloadType": "\(.*\)",$/\1/p' "$1")
    sed -n "/\"keyid\": \"$keyid\"/{n;s/.*\"sig\": \"\([A-Za-z0-9+\/=]*\)\".*/\1/p;}" "$1" |
        openssl base64 -d -A >"$work/sig"
    [ -s "$work/payload" ] || { invalid "$1 has no payload"; return 1; }
    [ -s "$work/sig" ] || { unknown "$1 is not signed by this key"; return 1; }
    # Pre-authentication encoding of DSSE: what is signed is the type and the payload, each with its length.
    { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(wc -c <"$work/payload")"; cat "$work/payload"; } >"$work/message"
    holds "$work/message" "$work/sig" || { invalid "the signature of $1 does not hold"; return 1; }
    echo "ok: signature of $(basename "$1")"
}

for name in adaptation test-result; do
    opened "$folder/$name.dsse.json" || continue
    case $name in
        adaptation) kind=https://xinchuang-harness/attestation/adaptation/v1 ;;
        *) kind=https://in-toto.io/attestation/test-result/v0.1 ;;
    esac
    grep -qF "\"predicateType\":\"$kind\"" "$work/payload" ||
        { invalid "$name.dsse.json is signed, but says something else than its name"; continue; }
    # The payload is one line of JSON in a fixed order, and it was checked: it may be taken apart as text.
    if [ $name = adaptation ]; then
        number=$(grep -o '"number":"[^"]*"' "$work/payload" | head -n 1 | cut -d'"' -f4)
        until=$(grep -o '"valid_until":"[0-9-]*"' "$work/payload" | cut -d'"' -f4)
    fi
    grep -o '{"digest":{"sha256":"[0-9a-f]*"},"name":"[^"]*"}' "$work/payload" | grep -v '"name":"package/' |
        grep -v '"name":"plan"' | grep -v '"name":"suite/' |
        sed 's/{"digest":{"sha256":"\([0-9a-f]*\)"},"name":"\([^"]*\)"}/\1 \2/' >"$work/subjects"
    [ -s "$work/subjects" ] || { invalid "$name.dsse.json speaks of no file"; continue; }
    while read -r digest subject; do
        case $subject in */*|..) invalid "$subject leads out of the folder"; continue ;; esac
        if [ ! -f "$folder/$subject" ]; then unknown "$subject is not in the folder"
        elif [ "$(sha256sum <"$folder/$subject" | cut -d' ' -f1)" = "$digest" ]; then echo "ok: $subject"
        else invalid "$subject is not the file that was signed"; fi
    done <"$work/subjects"
done
later() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort | head -n 1)" = "$2" ]; } # is $1 after $2
if [ -n "$until" ] && later "$(date -u +%Y-%m-%d)" "$until"; then invalid "it expired on $until"; fi

# --- the log: RFC 6962 tree, C2SP checkpoint ---

# Root of the first $1 lines of $register/entries.jsonl into $work/root. Subtrees wait on a stack, sizes in $stack.
tree() {
    stack='' n=0 depth=0
    while [ $n -lt "$1" ] && IFS= read -r line; do
        { printf '\000'; printf %s "$line"; } | openssl dgst -sha256 -binary >"$work/n$depth"
        stack="1 $stack" depth=$((depth + 1)) n=$((n + 1))
        set -- "$1" $stack
        while [ $# -ge 3 ] && [ "$2" = "$3" ]; do join; set -- "$1" $stack; done
    done <"$register/entries.jsonl"
    [ $n -eq "$1" ] || return 1
    while [ $depth -gt 1 ]; do join; done
    [ $depth -eq 1 ] && mv "$work/n0" "$work/root"
}
join() { # the two topmost subtrees
    { printf '\001'; cat "$work/n$((depth - 2))" "$work/n$((depth - 1))"; } | openssl dgst -sha256 -binary >"$work/j"
    mv "$work/j" "$work/n$((depth - 2))"
    # shellcheck disable=SC2086  # a list of sizes
    set -- $stack
    joined=$(($1 + $2)); shift 2
    stack="$joined $*" depth=$((depth - 1))
}

# Sets $origin, $size and $root from a signed note, if its signature by the log's key holds.
noted() { # file
    sed -n '1,3p' "$1" >"$work/body"
    sed -n '5s/^— [^ ]* //p' "$1" | openssl base64 -d -A 2>/dev/null | tail -c +5 >"$work/note.sig"
    origin=$(sed -n 1p "$1") size=$(sed -n 2p "$1") root=$(sed -n 3p "$1")
    case $size in ''|*[!0-9]*) return 1 ;; esac
    openssl pkeyutl -verify -pubin -inkey "$log_key" -rawin -in "$work/body" -sigfile "$work/note.sig" >/dev/null 2>&1
}

goes_on() { # size, root, where it is from: are the first entries those that were signed then
    if tree "$1" && [ "$(openssl base64 -A <"$work/root")" = "$2" ]; then return 0; fi
    invalid "the log shows another past than $3, or is shorter: a fork, or an older copy"
    return 1
}

log() {
    if [ ! -f "$register/entries.jsonl" ] || [ ! -f "$register/checkpoint" ]; then
        unknown "$register holds no log"; return
    fi
    case $(openssl pkey -pubin -in "$log_key" -noout -text 2>/dev/null) in
        *ED25519*) ;;
        *) unknown "the log is signed with Ed25519: name that key too"; return ;;
    esac
    noted "$register/checkpoint" || { invalid "the signature of the log's checkpoint does not hold"; return; }
    newest=$size newest_root=$root newest_origin=$origin
    goes_on "$size" "$root" "its own checkpoint" || return
    if [ -f "$folder/log-proof.json" ]; then
        sed -n 's/^ "checkpoint": "\(.*\)",\{0,1\}$/\1/p' "$folder/log-proof.json" | sed 's/\\n/\
/g' >"$work/note"
        noted "$work/note" || { invalid "the signature of the checkpoint beside the certificate does not hold"; return; }
        goes_on "$size" "$root" "the proof beside the certificate" || return
    fi
    if [ -n "${HARNESS_SEEN:-}" ]; then
        if [ -f "$HARNESS_SEEN" ]; then
            seen=$(grep -F "$newest_origin " "$HARNESS_SEEN" | tail -n 1)
            if [ -n "$seen" ]; then
                past=${seen#"$newest_origin "}
                goes_on "${past%% *}" "${past#* }" "what was seen of it before" || return
            fi
        fi
        echo "$newest_origin $newest $newest_root" >>"$HARNESS_SEEN"
    fi
    sed -n "1,${newest}p" "$register/entries.jsonl" >"$work/entries"
    digest=$(sha256sum <"$folder/adaptation.dsse.json" | cut -d' ' -f1)
    if grep -q "\"kind\":\"certificate\".*\"sha256\":\"$digest\"" "$work/entries"; then echo "ok: entered in the log of $newest entries"
    else invalid "the log does not have this certificate"; fi
    last=$(grep '"kind":"status"' "$work/entries" | tail -n 1 | grep -o '"sha256":"[0-9a-f]*"' | cut -d'"' -f4)
    [ "$(sha256sum <"$register/status.dsse.json" 2>/dev/null | cut -d' ' -f1)" = "$last" ] ||
        invalid "the status list is not the newest of the log: an older one was put in its place"
}

if [ -n "$register" ] && [ -n "$number" ]; then
    log
    if opened "$register/status.dsse.json"; then
        listed=$(grep -o "{\"by\":\"[^\"]*\",\"number\":\"$number\",[^}]*}" "$work/payload")
        next=$(grep -o '"nextUpdate":"[^"]*"' "$work/payload" | cut -d'"' -f4)
        if [ -n "$listed" ]; then invalid "$number: $listed"
        elif later "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$next"; then unknown "the status list is stale: a newer one was due on $next"
        else echo "ok: $number is active"; fi
    fi
fi
case $code in 0) echo "valid 有效" ;; 1) echo "INVALID 无效" ;; *) echo "could not check 无法核验" ;; esac
exit $code
