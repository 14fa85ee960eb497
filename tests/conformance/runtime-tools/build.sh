#!/bin/bash
# Builds the validation programs of runtime-tools into the directory $1, from Debian's source package and Debian's packages of what it imports.
# Its text is the key of the cache.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$out/work
package=golang-github-opencontainers-runtime-tools
mkdir -p "$work"/{parts,lists/partial,cache,source} && cd "$work/source"

# The machine's own sources of packages, asked for source packages. The validation programs are in no binary package, and the archive keeps
# the source of one release for longer than that of another, so every release from this one on is asked.
apt() {
    apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
ask() {
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        sed -e 's/^Types:.*/Types: deb-src/' -e "s/^Suites:.*/Suites: $1/" "$file" | awk 'BEGIN { RS = "" } !/security/ { print $0 "\n" }' > "$work/parts/${file##*/}"
    done
    [ ! -f /etc/apt/sources.list ] || sed -n "s/^deb \(.*\) [a-z]* main.*/deb-src \1 $1 main/p" /etc/apt/sources.list | grep -v security | sort -u > "$work/parts/here.list"
    apt update && apt source --download-only "$package" || true
    ls ./*.orig.tar.* > /dev/null 2>&1
}
# shellcheck disable=SC1091
this=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
for suite in "$this" trixie sid; do
    if ask "$suite"; then break; fi
done
ls ./*.orig.tar.* > /dev/null || { echo "no source package of $package"; exit 1; }

# apt has held the archive against the signed index; --strip takes away its top directory.
path=$work/go/src/github.com/opencontainers/runtime-tools
mkdir -p "$path" "$work/go/src/github.com/mndrix/tap-go"
tar --strip-components=1 -xf ./*.orig.tar.* -C "$path"
cp "$here/tap.go" "$work/go/src/github.com/mndrix/tap-go/"
cd "$path"
export GO111MODULE=off GOPATH=$work/go:/usr/share/gocode GOFLAGS=-trimpath GOCACHE=$work/gocache CGO_ENABLED=0
go build -tags "netgo osusergo" -o "$out/runtimetest" ./cmd/runtimetest
mkdir "$out/programs"
for directory in validation/*/; do
    name=$(basename "$directory")
    [ "$name" = util ] || go build -o "$out/programs/$name" "./$directory"
done
cp rootfs-amd64.tar.gz "$out/"
rm -rf "$work"
