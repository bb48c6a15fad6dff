#!/usr/bin/env bash
# Installs servers from Debian where they are missing, for tests and benchmarks
# that run them on ports of their own: none is started or enabled as a service.
#
#   install-servers.sh program=package ...
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
# Servers live in sbin, which is not on everyone's path.
export PATH="$PATH:/usr/sbin:/sbin"

have() { command -v "$1" >/dev/null 2>&1; }

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
for wanted in "$@"; do
  program=${wanted%%=*}
  have "$program" || { packages+=("${wanted#*=}"); services+=("$program"); }
done
if [ "${#packages[@]}" -eq 0 ]; then exit 0; fi

echo "Installing: ${packages[*]}"
forbid_services
as_root apt-get -o Acquire::Retries=3 -qq update
as_root apt-get -o Acquire::Retries=3 -qq install --yes --no-install-recommends "${packages[@]}" >/dev/null
# Nor may they start with the machine, where they were not wanted before.
if have systemctl; then
  as_root systemctl --quiet disable "${services[@]}" || true
fi
