#!/bin/bash
# Installs the programs of other projects that the tests run against, where that is possible.
# Without root, says what is missing: on a laptop those tests are skipped, in CI they fail.
set -euo pipefail

packages=(
  amqp-tools        # amqp-consume, the documentation's shell consumer
  createrepo-c      # a second feed, and the floor of the benchmarks
  dnf               # installs from what was published
  dnf-plugins-core  # reposync
  postgresql        # the database of several servers
  python3-librepo   # what dnf downloads with
  rabbitmq-server   # a private instance for each run
  rpm               # rpmbuild makes the sample packages
)

if ! command -v dpkg-query > /dev/null; then
  echo "Not a Debian system: tests that miss one of these are skipped: ${packages[*]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Missing, so that their tests are skipped: apt-get install ${missing[*]}"
  exit 0
fi

echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
