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

can_link() { command -v gcc >/dev/null 2>&1 && printf 'int main(void) { return 0; }\n' | gcc -x c -o /dev/null - 2>/dev/null; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo --non-interactive --preserve-env=DEBIAN_FRONTEND "$@"; fi
}

scripts/install-servers.sh nginx=nginx-light haproxy=haproxy
if ! can_link; then
  as_root apt-get -o Acquire::Retries=3 -qq update
  as_root apt-get -o Acquire::Retries=3 -qq install --yes --no-install-recommends gcc libc6-dev >/dev/null
fi

mkdir -p bin
if [ ! -e bin/floor ] || [ bench/floor/floor.c -nt bin/floor ]; then
  gcc -O2 -std=gnu11 -Wall -Wextra -Werror -o bin/floor bench/floor/floor.c
fi

nginx -v
haproxy -v | sed -n 1p
