#!/bin/sh
# Checks a signed result with nothing but a shell, openssl and sha256sum.
# Usage: sh verify.sh FOLDER PUBLIC_KEY.pem
#   FOLDER      holds adaptation.dsse.json, test-result.dsse.json and the files that they speak of
#   PUBLIC_KEY  the issuer's, got from the issuer and not from FOLDER: Ed25519, P-256, or SM2 (OpenSSL 3)
# Exit codes: 0 valid, 1 invalid, 3 could not check
set -u
[ $# -eq 2 ] || { echo "usage: sh verify.sh FOLDER PUBLIC_KEY.pem" >&2; exit 3; }
folder=$1 key=$2 code=0
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
unknown() { echo "could not check: $1"; [ "$code" = 1 ] || code=3; }
invalid() { echo "INVALID: $1"; code=1; }

for tool in openssl sha256sum sed grep; do
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

for name in adaptation test-result; do
    file=$folder/$name.dsse.json
    [ -f "$file" ] || { unknown "$file is not there"; continue; }
    sed -n 's/^ "payload": "\([A-Za-z0-9+\/=]*\)",$/\1/p' "$file" | openssl base64 -d -A >"$work/payload"
    type=$(sed -n 's/^ "payloadType": "\(.*\)",$/\1/p' "$file")
    sed -n "/\"keyid\": \"$keyid\"/{n;s/.*\"sig\": \"\([A-Za-z0-9+\/=]*\)\".*/\1/p;}" "$file" | openssl base64 -d -A >"$work/sig"
    [ -s "$work/payload" ] || { invalid "$file has no payload"; continue; }
    [ -s "$work/sig" ] || { unknown "$file is not signed by this key"; continue; }
    # Pre-authentication encoding of DSSE: what is signed is the type and the payload, each with its length.
    { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(wc -c <"$work/payload")"; cat "$work/payload"; } >"$work/message"
    if holds "$work/message" "$work/sig"; then echo "ok: signature of $name.dsse.json"
    else invalid "the signature of $name.dsse.json does not hold"; continue; fi
    # The payload is one line of JSON in a fixed order, and it was checked: it may be taken apart as text.
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
case $code in 0) echo "valid 有效" ;; 1) echo "INVALID 无效" ;; *) echo "could not check 无法核验" ;; esac
exit $code
