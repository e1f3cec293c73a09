#!/bin/sh
# Runs all tests but the house's on PostgreSQL with the newest Python found that is newer than the one of .venv; where there is
# none, with .venv. So that one run shows both, the newest Python and the other database.
set -eu
newest=""
for candidate in "$(command -v python3.14 || true)" "$(command -v python3.13 || true)" "$HOME"/.pyenv/versions/3.14*/bin/python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 13))' 2>/dev/null; then
        newest="$candidate"
        break
    fi
done
venv=.venv
if [ -z "$newest" ]; then
    echo "No Python 3.13 or later found on this machine: the newest supported one was not tested here."
else
    venv=.venv-newest
    make --no-print-directory setup PYTHON="$newest" VENV="$venv"
fi
"$venv"/bin/python tests/postgres.py run "$venv"/bin/python -m pytest tests -n 2 --dist loadfile --ignore tests/house "$@"
