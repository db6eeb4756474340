#!/bin/sh
# Builds build/notes.war with javac and jar alone. No network is needed.
# Usage: sh build.sh [SERVLET-API-JAR]
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

for tool in javac jar; do
    command -v $tool >/dev/null || fail "there is no $tool" "apt-get install default-jdk-headless (17 or newer)"
done
api=${1:-}
for jar in /usr/share/java/tomcat10-servlet-api.jar /usr/share/java/tomcat11-servlet-api.jar; do
    [ -n "$api" ] || [ ! -f $jar ] || api=$jar
done
[ -f "$api" ] || fail "there is no servlet API to compile against${api:+ at $api}" "apt-get install libtomcat10-java"
rm -rf build && mkdir -p build/war/WEB-INF/classes
cp -R web/. build/war
javac --release 17 -encoding UTF-8 -Xlint:all -Werror -proc:none -cp "$api" -d build/war/WEB-INF/classes src/*.java
# Times of the files would differ from build to build.
jar --create --no-manifest --date=2026-01-01T00:00:00Z --file build/notes.war -C build/war .
rm -rf build/war
echo build/notes.war
