#!/bin/sh
# Makes .venv as the locks in requirements/ say; done in milliseconds where it is so already.
# Package indexes, proxies and certificates are those that pip and uv are set up with on this machine.
# Speaks on stderr only: `make -s env` is evaluated by a shell.
set -eu

clone=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$clone"
python=.venv/bin/python
locks="requirements/bootstrap.txt requirements/dev.txt"

say() { echo "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# What .venv was made from: the locks, this script, and the interpreter as the venv itself names it.
state() { cat $locks tools/bootstrap.sh .venv/pyvenv.cfg 2>/dev/null | sha256sum; }

ready() { [ -x "$python" ] && [ "$(cat .venv/.made-from 2>/dev/null)" = "$(state)" ]; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python of at least 3.11 on PATH; install one, or say PYTHON=/path/to/python3"
}

make_venv() {
  base=$(find_python)
  # Debian keeps ensurepip, without which a venv has no pip, in a package of its own.
  if ! "$base" -c 'import ensurepip' 2>/dev/null; then
    package=$("$base" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    command -v apt-get >/dev/null || fail "$base has no ensurepip: install the venv module that belongs to it"
    [ "$(id -u)" = 0 ] || fail "$base cannot make environments without a package: sudo apt-get install $package"
    say "Debian package $package …"
    install="apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends $package"
    export DEBIAN_FRONTEND=noninteractive
    $install >/dev/null 2>&1 || { apt-get -q update >&2 && $install >&2; } || fail "$install failed"
  fi
  say "Python environment .venv of $base, $("$base" -c 'import platform; print(platform.python_version())') …"
  rm -rf .venv
  "$base" -m venv .venv >&2 || fail "$base -m venv .venv failed"
}

pip_install() {
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$1" >&2
}

install_locked() {
  say "packages of requirements/dev.txt …"
  pip_install requirements/bootstrap.txt || fail "uv cannot be installed: is a Python package index reachable?"
  # Certificates: those of the system, as pip; SSL_CERT_FILE goes before both.
  UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} "$clone/.venv/bin/uv" pip sync --quiet --python "$python" \
    --require-hashes requirements/dev.txt >&2 && return
  say "uv did not find its way to the packages; pip, which has a configuration of its own, takes over …"
  pip_install requirements/dev.txt || fail "the packages cannot be installed, see above"
}

ready && exit 0
mkdir -p .tools
if command -v flock >/dev/null && [ "${BOOTSTRAP_LOCKED-}" != "$clone" ]; then
  # A second make waits for the first and then finds the work done.
  BOOTSTRAP_LOCKED=$clone exec flock .tools/bootstrap.lock "$clone/tools/bootstrap.sh"
fi
if ! { [ -x "$python" ] && new_enough "$python" && "$python" -c 'import pip' 2>/dev/null; }; then
  make_venv
fi
install_locked
state > .venv/.made-from
