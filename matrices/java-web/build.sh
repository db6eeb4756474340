#!/bin/sh
# Builds build/workshop.war: javac and jar alone, no network. The same sources and JDK give the same bytes.
# Usage: sh build.sh [SERVLET-API-JAR]        (needs a JDK of version 17 or later, and the servlet API 6)
set -eu
cd "$(dirname "$0")"
fail() { printf 'build.sh: %s\n  next: %s\n' "$1" "$2" >&2; exit 3; }

how="sh setup/host.sh --java, or apt-get install default-jdk-headless libtomcat10-java"
for tool in javac jar; do command -v $tool >/dev/null || fail "there is no $tool" "$how"; done
api=${1:-}
for jar in /usr/share/java/tomcat10-servlet-api.jar /usr/share/java/tomcat11-servlet-api.jar; do
    [ -n "$api" ] || [ ! -f $jar ] || api=$jar
done
[ -f "$api" ] || fail "there is no servlet API to compile against${api:+ at $api}" "$how"

rm -rf build/war && mkdir -p build/war/WEB-INF/classes
cp -R web/. build/war
javac --release 17 -encoding UTF-8 -Xlint:all -Werror -proc:none -cp "$api" -d build/war/WEB-INF/classes src/workshop/*.java
mkdir -p build/war/WEB-INF/classes/workshop/sql && cp src/workshop/sql/*.sql build/war/WEB-INF/classes/workshop/sql/
(cd build/war && LC_ALL=C find . -type f | LC_ALL=C sort | sed 's|^\./||') >build/files
# Times of the files would differ from build to build.
(cd build/war && jar --create --no-manifest --date=2026-01-01T00:00:00Z --file ../workshop.part @../files)
mv build/workshop.part build/workshop.war && rm -rf build/war build/files
echo "build/workshop.war $(sha256sum build/workshop.war | cut -d' ' -f1)"
