#!/bin/sh
# Runs the tests that need no browser on the newest Python found that is newer than the one of .venv.
set -eu
newest=""
for candidate in "$(command -v python3.14 || true)" "$(command -v python3.13 || true)" "$HOME"/.pyenv/versions/3.14*/bin/python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
        newest="$candidate"
        break
    fi
done
if [ -z "$newest" ]; then
    echo "No Python 3.13 or later found on this machine: the newest supported one was not tested here."
    exit 0
fi
make --no-print-directory setup PYTHON="$newest" VENV=.venv-newest
.venv-newest/bin/python -m pytest tests -n 2 --dist loadfile --ignore tests/browser --ignore tests/acceptance --ignore tests/house "$@"
