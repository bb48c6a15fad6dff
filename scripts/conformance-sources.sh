#!/usr/bin/env bash
# Obtains what `make conformance` takes its cases from beside Go's own
# distribution: http-parser, from Debian's source package, into
# .cache/conformance. Nothing of it is part of this project. Where it cannot be
# had this says so; that is a failure only if CULVERT_REQUIRE_CONFORMANCE is set.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
sources="$PWD/.cache/conformance"
package=http-parser
version=2.9.4
archive="${package}_$version.orig.tar.gz"
sha256=467b9e30fd0979ee301065e70f637d525c28193449e1b13fbcb1b1fab3ad224f

if [ -e "$sources/$package-$version/test.c" ]; then exit 0; fi

missing() {
  echo "$package $version cannot be obtained: $*" >&2
  if [ -n "${CULVERT_REQUIRE_CONFORMANCE:-}" ]; then exit 1; fi
  exit 0
}

command -v apt-get >/dev/null 2>&1 || missing "there is no apt-get"

# The client is told of the same archives as this machine's own, only of their
# sources, in a folder of its own: the machine's lists stay as they are.
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/download"
if [ -e /etc/apt/sources.list.d/debian.sources ]; then
  sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$apt/parts/debian.sources"
elif [ -e /etc/apt/sources.list ]; then
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$apt/parts/debian.list"
fi
client() {
  apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" -o Dir::State::lists="$apt/lists" \
    -o Dir::Cache="$apt/cache" -o Acquire::Retries=3 -o APT::Sandbox::User="$(id -un)" -qq "$@"
}

echo "Fetching the tests of $package $version"
client update || missing "the lists of source packages are out of reach"
# Of the package only this archive is wanted; its checksum is the one below.
(cd "$apt/download" && client --download-only --only-source source "$package") || true
[ -e "$apt/download/$archive" ] || missing "Debian's archive does not give $archive"
echo "$sha256  $apt/download/$archive" | sha256sum --check --quiet || missing "another archive than the one with the known checksum"
tar -xzf "$apt/download/$archive" -C "$apt"
mkdir -p "$sources"
rm -rf "${sources:?}/$package-$version"
mv "$apt/$package-$version" "$sources/"
