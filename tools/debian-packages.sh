#!/bin/sh
# Installs the Debian packages that the tests need, when it is root and one is missing; otherwise says what is missing.
# Services that a package brings are not started: the tests start their own.
set -u
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v prometheus >/dev/null 2>&1 || missing="$missing prometheus"
command -v prometheus-node-exporter >/dev/null 2>&1 || missing="$missing prometheus-node-exporter"
command -v vmagent >/dev/null 2>&1 || missing="$missing victoria-metrics"
for command in prometheus-alertmanager amtool; do
    command -v "$command" >/dev/null 2>&1 || missing="$missing prometheus-alertmanager" && break
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian packages for the tests:$missing …"
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    # shellcheck disable=SC2086
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
    echo "The packages could not be installed; the tests that need them are skipped (with CI=true: fail)." >&2
    exit 0
fi
echo "Missing for some tests:$missing. They are skipped by name; to run them: apt-get install$missing" >&2
