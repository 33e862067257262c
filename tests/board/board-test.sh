#!/usr/bin/env bash
# board-test.sh [image|memory|unit]: the use case on an emulated 512 MB arm64 board; makes the board's image where it is missing.
#   image: makes the image and nothing else
#   memory (the default): each mode, what it leaves of the memory, and a module that is installed, updated, rolled back
#   unit: boots systemd, installs Gridlink as docs/board.md says, and has systemd watch it
# GRIDLINK_BOARD_CACHE: where the image is kept (default: ~/.cache/gridlink/board). PYTHON: one with pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=${GRIDLINK_BOARD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gridlink/board}
export PYTHON=${PYTHON:-python3}
what=${1:-memory}
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT

PIP_CONSTRAINT=$repository/constraints.txt "$PYTHON" -m pip wheel -q --disable-pip-version-check --no-deps -w "$share" "$repository"
"$here/build-image.sh" "$cache" "$share"/gridlink-*.whl
update='/opt/gridlink/bin/pip install -q --no-index --no-deps --force-reinstall /board/share/gridlink-*.whl'
case $what in
  image) ;;
  memory)
    cp "$here/use_case.py" "$here/provisioned.py" "$share"
    "$here/run-in-board.sh" -s "$share" -t 3600 "$cache" \
      "$update && /opt/gridlink/bin/python -S use_case.py 60 process fork node" | "$PYTHON" "$here/table.py"
    ;;
  unit)
    cp "$here/unit.sh" "$share"
    "$PYTHON" "$here/documented.py" Install Run Logs "The flash is full" >"$share/installed.sh"
    "$here/run-in-board.sh" -i -s "$share" -t 2400 "$cache" "sh unit.sh"
    ;;
  *) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
