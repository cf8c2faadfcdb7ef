# Shared by ./quickstart, ./test and bench/: what a machine must be and have. Sourced, never run; touches nothing until
# install_packages is called.

# Debian packages: build, lab, and the real things that modules wrap.
BUILD_PACKAGES="gcc libc6-dev pkg-config binutils dpkg-dev"
LAB_PACKAGES="acl curl procps perl-base iproute2 nftables e2fsprogs util-linux mount kmod iputils-ping systemd dbus"
POSTGRES_PACKAGES="postgresql postgresql-contrib"
# The programs of MariaDB alone: Debian's mariadb-server would make a data directory and enable a unit.
MARIADB_PACKAGES="mariadb-server-core mariadb-client-core"
REDIS_PACKAGES="redis-server redis-tools"
# Applications with their OCF agents, and what tests those (ocf-tester calls xmllint).
OCF_PACKAGES="resource-agents libxml2-utils nginx-light apache2-bin"
RUST_NEEDED=1.95

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# One line for whatever this machine lacks, before anything is touched.
require_machine() {
    [ "$(uname -s)" = Linux ] || fail "Holdfast runs on Linux; this is $(uname -s)."
    [ "$(id -u)" = 0 ] || fail "needs root, for namespaces, disks and network of the lab: run it as 'sudo ./$(basename "$0")'."
    command -v apt-get >/dev/null || fail "installs what it needs with apt-get, which this system doesn't have; use Debian 12 or newer."
    [ -e /dev/fuse ] || fail "/dev/fuse is missing: this kernel or container has no FUSE."
    [ -e /dev/loop-control ] || fail "/dev/loop-control is missing: this kernel or container has no loop devices."
    unshare -mn true 2>/dev/null || fail "can't make namespaces here (a container without the privilege?); use a machine or a virtual machine."
    require_rust
}

require_rust() {
    local found
    found=$(cargo --version 2>/dev/null | awk '{print $2}') || true
    [ -n "$found" ] || fail "needs Rust $RUST_NEEDED or newer and found none: install it with rustup (https://rustup.rs), then run this again."
    [ "$(printf '%s\n%s\n' "$RUST_NEEDED" "$found" | sort -V | head -n 1)" = "$RUST_NEEDED" ] ||
        fail "needs Rust $RUST_NEEDED or newer and found $found: run 'rustup update', then run this again."
}

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

# Installs what is missing. A database server of Debian's own is neither created, nor started, nor enabled.
install_packages() {
    local missing policy=
    missing=$(missing_packages "$@")
    if [ -z "$missing" ]; then
        say "  all there"
        return
    fi
    say "  installing: $missing"
    no_cluster_of_debians_own
    export DEBIAN_FRONTEND=noninteractive
    local log=/var/log/holdfast-apt.log failed=
    no_start_by_installation
    # shellcheck disable=SC2086 # a list of words
    { apt-get -q update && apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1 || failed=yes
    [ -z "$policy" ] || rm -f "$policy"
    [ -z "$failed" ] || { tail -n 5 "$log" >&2; fail "apt-get failed; all of what it said is in $log."; }
    # Its installation enables it. Only what was installed here: a server that was in use before stays as it was.
    case " $missing" in
    *" redis-server "*)
        ! command -v systemctl >/dev/null || systemctl --quiet disable redis-server.service >>"$log" 2>&1 ||
            fail "Debian's own Redis can't be kept from starting at boot: run 'systemctl disable redis-server'."
        ;;
    esac
    case " $missing" in
    *" nginx-light "*)
        ! command -v systemctl >/dev/null || systemctl --quiet disable nginx.service >>"$log" 2>&1 ||
            fail "Debian's own nginx can't be kept from starting at boot: run 'systemctl disable nginx'."
        ;;
    esac
    case " $missing" in *" mariadb-server-core "*) user_of_mariadb ;; esac
}

# While packages are installed nothing starts (Debian policy, 9.3.3.2). Sets `policy` to the file that is to be removed.
no_start_by_installation() {
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\n# Written by Holdfast for the time of an installation.\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
}

# As the installation of mariadb-server makes it.
user_of_mariadb() {
    getent passwd mysql >/dev/null ||
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /bin/false mysql
}

no_cluster_of_debians_own() {
    local conf=/etc/postgresql-common/createcluster.conf
    if [ ! -e "$conf" ]; then
        mkdir -p "$(dirname "$conf")"
        say "# Written by Holdfast: no cluster is made or started by the package's installation." >"$conf"
        say "create_main_cluster = false" >>"$conf"
    fi
}

# build PROFILE PACKAGE...: with cargo's own progress.
build() {
    # The library of virtual host names goes with every build: the lab looks for it beside the binary.
    local profile=$1 package packages=(-p hf-vhost)
    shift
    for package in "$@"; do packages+=(-p "$package"); done
    cargo build --locked --profile "$profile" "${packages[@]}" || fail "the build failed; its messages stand above."
    pack_modules "target/$profile"
}

# pack_modules FOLDER: packages/* as .safe files beside the binary, where the lab looks for them.
pack_modules() {
    local module
    mkdir -p "$1/Application_Modules"
    for module in packages/*/; do
        "$1/holdfast" module package --from "$module" "$1/Application_Modules/$(basename "$module").safe" ||
            fail "the module $module could not be packed."
    done
}
