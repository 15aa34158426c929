#!/usr/bin/env bash
# Renders the manifests and checks what comes out. Tools go into a cache outside the checkout.
#   KUBECTL          a kubectl to use instead of the pinned one
#   PURCHASES_CACHE  the cache (default: purchases in the user's cache directory)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PURCHASES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/purchases}
wanted=$(sha256sum "$here/requirements.txt" | cut -c1-12)
venv=$cache/kustomize-tests-$wanted

if [ ! -e "$venv/complete" ]; then
    echo "installing kubectl and the manifest validator into $venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    touch "$venv/complete"
fi

export KUBECTL=${KUBECTL:-$venv/bin/kubectl}
exec "$venv/bin/python" -B "$here/test_render.py" "$@"
