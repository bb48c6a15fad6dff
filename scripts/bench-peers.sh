#!/usr/bin/env bash
# Provides what the side-by-side benchmark compares with: Debian's nginx and
# HAProxy, and the floor (bench/floor/floor.c) as bin/floor. What is there
# already is left as it is. No service is started or enabled: the benchmark runs
# the peers itself, with its own configurations.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DEBIAN_FRONTEND=noninteractive
# Servers live in sbin, which is not on everyone's path.
export PATH="$PATH:/usr/sbin:/sbin"

have() { command -v "$1" >/dev/null 2>&1; }

can_link() { have gcc && printf 'int main(void) { return 0; }\n' | gcc -x c -o /dev/null - 2>/dev/null; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo --non-interactive --preserve-env=DEBIAN_FRONTEND "$@"; fi
}

# Packages ask this program whether they may start a service; 101 is "no".
policy=/usr/sbin/policy-rc.d
forbid_services() {
  kept=$(mktemp)
  if [ -e "$policy" ]; then cp -p "$policy" "$kept"; fi
  trap allow_services EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
}
allow_services() {
  as_root rm -f "$policy"
  if [ -s "$kept" ]; then as_root cp -p "$kept" "$policy"; fi
  rm -f "$kept"
}

packages=() services=()
have nginx || { packages+=(nginx-light); services+=(nginx); }
have haproxy || { packages+=(haproxy); services+=(haproxy); }
can_link || packages+=(gcc libc6-dev)

if [ "${#packages[@]}" -gt 0 ]; then
  echo "Installing: ${packages[*]}"
  forbid_services
  as_root apt-get -o Acquire::Retries=3 -qq update
  as_root apt-get -o Acquire::Retries=3 -qq install --yes --no-install-recommends "${packages[@]}" >/dev/null
  # Nor may they start with the machine, where they were not wanted before.
  if have systemctl && [ "${#services[@]}" -gt 0 ]; then
    as_root systemctl --quiet disable "${services[@]}" || true
  fi
fi

mkdir -p bin
if [ ! -e bin/floor ] || [ bench/floor/floor.c -nt bin/floor ]; then
  gcc -O2 -std=gnu11 -Wall -Wextra -Werror -o bin/floor bench/floor/floor.c
fi

nginx -v
haproxy -v | sed -n 1p
