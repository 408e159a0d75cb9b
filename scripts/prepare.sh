# Sourced by ./demo and ./test: makes the machine ready, quickly when it is already.
# As root it installs missing Debian packages; otherwise it prints the commands to run and stops.

missing_packages() {
  local wanted=()
  mapfile -t wanted < <(cat "$@")
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
      sed -n 's/^installed //p' | sort)
}

# Debian makes a server of the machine for what it installs (a database, sshd, a balancer), now and at
# each start, which nobody asked for: tests start their own. What it is told here is taken back
# afterwards, in a shell of its own, which does so whatever becomes of the installation.
without_servers() (
  no_main_cluster=/etc/postgresql-common/createcluster.d/openrdms-tests.conf
  policy=/usr/sbin/policy-rc.d
  mkdir -p "$(dirname "$no_main_cluster")"
  trap 'rm -f "$no_main_cluster"' EXIT
  echo "create_main_cluster = false" >"$no_main_cluster"
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$no_main_cluster" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  "$@"
)

# The arguments are packages. A machine without systemd starts nothing that it was not told to.
disable_servers() {
  local units
  [ -d /run/systemd/system ] || return 0
  units=$(dpkg -L "$@" | sed -n 's|^/lib/systemd/system/\([^@]*\.service\)$|\1|p')
  # shellcheck disable=SC2086
  [ -z "$units" ] || systemctl --quiet disable $units >&2 ||
    echo "Some of these are started whenever the machine is: $units" >&2
}

# The arguments are files that name one Debian package a line.
prepare_packages() {
  local missing
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "${missing// /}" ] && return
  if [ "$(id -u)" -eq 0 ]; then
    echo "Installing Debian packages: $missing" >&2
    apt-get update -qq >&2
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive without_servers apt-get install -y -qq --no-install-recommends $missing >&2
    # shellcheck disable=SC2086
    disable_servers $missing
  else
    echo "Debian packages are missing. Run as root:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends $missing" >&2
    exit 1
  fi
}

# An ordinary user's images are built in a user namespace, which needs a range of subordinate ids.
prepare_subids() {
  local user
  [ "$(id -u)" -eq 0 ] && return
  user=$(id -un)
  if ! grep -q "^$user:" /etc/subuid || ! grep -q "^$user:" /etc/subgid; then
    echo "$user has no subordinate ids. Run as root:" >&2
    echo "  usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $user" >&2
    exit 1
  fi
}

# Debian's own Python, so that the environment also works for accounts that cannot read another's.
# What is installed for the tests holds all that the demo needs: each kind has its own stamp.
prepare_environment() {
  local requirements=$1 stamp
  stamp=$(cat "$top/pyproject.toml" "$top/requirements/$requirements.txt" | sha256sum)
  [ "$(cat "$top/.venv/.prepared-$requirements" 2>/dev/null)" = "$stamp" ] && return
  echo "Making .venv from requirements/$requirements.txt" >&2
  [ -x "$top/.venv/bin/python" ] || /usr/bin/python3 -m venv "$top/.venv"
  "$top/.venv/bin/pip" install -q --require-hashes -r "$top/requirements/$requirements.txt" >&2
  "$top/.venv/bin/pip" install -q --no-deps --no-build-isolation -e "$top" >&2
  echo "$stamp" >"$top/.venv/.prepared-$requirements"
}

# What pages load in a browser, and with the argument "dev" what their tests need. Not every npm is
# Debian's, so what counts is the command.
prepare_node_modules() {
  local kind=$1 folder stamp
  local folders=("$top/src/openrdms/frontends/web")
  [ "$kind" = dev ] && folders+=("$top/tests/browser")
  if ! command -v npm >/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
      echo "npm is missing. Run as root:" >&2
      echo "  apt-get update && apt-get install --no-install-recommends nodejs npm" >&2
      exit 1
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >&2
  fi
  for folder in "${folders[@]}"; do
    stamp=$(sha256sum <"$folder/package-lock.json")
    [ "$(cat "$folder/node_modules/.prepared" 2>/dev/null)" = "$stamp" ] && continue
    echo "Installing the npm packages of ${folder#"$top"/}" >&2
    (cd "$folder" && npm ci --silent >&2)
    echo "$stamp" >"$folder/node_modules/.prepared"
  done
}
