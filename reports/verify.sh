#!/bin/sh
# Checks a signed result with nothing but a shell, openssl and sha256sum.
# Usage: sh verify.sh FOLDER PUBLIC_KEY.pem [REGISTER]
#   FOLDER      holds adaptation.dsse.json, test-result.dsse.json and the files that they speak of
#   PUBLIC_KEY  the issuer's, got from the issuer and not from FOLDER: Ed25519, P-256, or SM2 (OpenSSL 3)
#   REGISTER    the issuer's public register, for whether the certificate was revoked since; its log is not checked here
# Exit codes: 0 valid, 1 invalid, 3 could not check
set -u
[ $# -ge 2 ] && [ $# -le 3 ] || { echo "usage: sh verify.sh FOLDER PUBLIC_KEY.pem [REGISTER]" >&2; exit 3; }
folder=$1 key=$2 register=${3:-} code=0 number='' until=''
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
unknown() { echo "could not check: $1"; [ "$code" = 1 ] || code=3; }
invalid() { echo "INVALID: $1"; code=1; }

for tool in openssl sha256sum sed grep sort date; do
    command -v "$tool" >/dev/null || { unknown "$tool is not installed"; exit 3; }
done
openssl pkey -pubin -in "$key" -outform DER -out "$work/key.der" 2>/dev/null ||
    { unknown "$key is no public key that this openssl can read"; exit 3; }
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
if [ -n "$register" ] && [ -n "$number" ] && opened "$register/status.dsse.json"; then
    listed=$(grep -o "{\"by\":\"[^\"]*\",\"number\":\"$number\",[^}]*}" "$work/payload")
    next=$(grep -o '"nextUpdate":"[^"]*"' "$work/payload" | cut -d'"' -f4)
    if [ -n "$listed" ]; then invalid "$number: $listed"
    elif later "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$next"; then unknown "the status list is stale: a newer one was due on $next"
    else echo "ok: $number is active"; fi
fi
case $code in 0) echo "valid 有效" ;; 1) echo "INVALID 无效" ;; *) echo "could not check 无法核验" ;; esac
exit $code
