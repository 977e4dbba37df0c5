#!/bin/bash
# Installs what of other projects the tests, or with "bench" the benchmarks, run against, where
# that is possible. Without root, says what is missing: on a laptop those tests are skipped, in CI
# they fail; benchmarks leave out the peer that is missing.
set -euo pipefail

packages=(
  amqp-tools        # amqp-consume, the documentation's shell consumer
  createrepo-c      # a second feed, and the floor of the benchmarks
  dnf               # installs from what was published
  dnf-plugins-core  # reposync
  gnupg             # the key that rpmsign signs packages with
  iproute2          # private networks, for machines that are cut off
  iproute2          # machines that are cut off from the network
  postgresql        # the database of several servers: a private instance for each run
  python3-librepo   # what dnf downloads with
  rabbitmq-server   # a private instance for each run
  rpm               # rpmbuild makes the sample packages
)
user=tests
if [ "${1:-}" = bench ]; then
  user=benchmarks
  packages=(
    createrepo-c     # the floor of syncs
    gcc              # compiles a publisher in C
    libc6-dev        # the headers that it needs
    librabbitmq-dev  # the client library of that publisher
    rabbitmq-server  # the broker of events
  )
fi

if ! command -v dpkg-query > /dev/null; then
  echo "Not a Debian system: $user that miss one of these are left out: ${packages[*]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Missing, so that their $user are left out: apt-get install ${missing[*]}"
  exit 0
fi

# Debian would make and start a database system of its own: tests start private ones
no_cluster=/etc/postgresql-common/createcluster.d/pulpit-$$.conf
if [[ " ${missing[*]} " = *" postgresql "* ]]; then
  trap 'rm -f "$no_cluster"' EXIT
  mkdir -p "${no_cluster%/*}"
  echo "create_main_cluster = false" > "$no_cluster"
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
