# Sourced by the scripts in this directory.
# shellcheck shell=bash

# say prints a line that stands out between the output of tools.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die prints why and ends the script.
die() {
	say "$@"
	exit 1
}

# as_root runs a command as root: as it is, or through sudo. Without a terminal
# to ask for a password on, sudo may only be used if it needs none.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

# can_be_root tells whether as_root has a chance.
can_be_root() {
	[ "$(id -u)" -eq 0 ] && return 0
	command -v sudo >/dev/null 2>&1 || return 1
	[ -t 0 ] || sudo -n true 2>/dev/null
}

# apt_install installs Debian packages without questions. The first call of a
# script fetches the lists of packages: a fresh machine has none.
apt_install() {
	say "installing $*"
	local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3)
	if [ -z "${apt_updated:-}" ]; then
		as_root "${apt[@]}" update
		apt_updated=yes
	fi
	as_root "${apt[@]}" install -y --no-install-recommends "$@"
}

# has_server tells whether the directory holds PostgreSQL's server programs.
has_server() { [ -x "$1/initdb" ] && [ -x "$1/postgres" ]; }

# find_server prints the directory of PostgreSQL's server programs; it fails if
# there is none. It looks where maintenance/pgtemp looks.
find_server() {
	local dir
	if [ -n "${PARTITIOND_PG_BIN:-}" ]; then
		has_server "$PARTITIOND_PG_BIN" || return 1
		printf '%s\n' "$PARTITIOND_PG_BIN"
		return
	fi
	local -a dirs=("$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin)
	local -a path
	IFS=: read -r -a path <<<"$PATH"
	dirs+=("${path[@]}" /usr/pgsql-*/bin /usr/local/pgsql/bin
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin
		/Applications/Postgres.app/Contents/Versions/*/bin)
	for dir in "${dirs[@]}"; do
		if [ -n "$dir" ] && has_server "$dir"; then
			printf '%s\n' "$dir"
			return
		fi
	done
	return 1
}
