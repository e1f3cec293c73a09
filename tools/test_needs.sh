#!/bin/sh
# What the tests need besides Python packages: Chromium and a PostgreSQL server, from Debian.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || missing="chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing for the tests:$missing …"
    apt-get update -qq >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "The tests need:$missing. Nothing was installed, as this user may not. Install them, e.g.:"
    echo "    sudo apt-get install$missing"
    exit 1
fi
