#!/usr/bin/env bash
# pjdfstest (POSIX semantics of a file system) on a replicated directory whose other copy follows: no test may fail, and both copies must be
# equal afterwards. Then the same once more after a swap. Needs root and, once, the network.
# shellcheck source=tests/fs/tools.sh
. "$(dirname "$(readlink -f "$0")")/tools.sh"

install_packages gcc libc6-dev pkg-config libacl1-dev acl
crate pjdfstest 0.2.2

settings() {
    cat <<END
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
rename_ctime = {}
[settings]
naptime = 0.01
allow_remount = $1
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
END
}

# Without the helper of FUSE, which wants to mount anew by itself.
mkdir "$work/bin" "$work/other"
printf '#!/bin/sh\nexec /bin/mount -i "$@"\n' >"$work/bin/mount"
chmod +x "$work/bin/mount"
PATH=$work/bin:$PATH
mount -t tmpfs pjdfstest "$work/other"
trap 'umount "$work/other"; rm -rf "$work"' EXIT

# Some tests leave descriptors open: after them nothing can be made read-only. So these have a run of their own.
for remount in false true; do
    settings $remount >"$work/pjdfstest.toml"
    patterns=()
    [ $remount = false ] || patterns=(-- erofs)
    # The second time on the other node's mount, after a swap.
    run pjdfstest --swaps 1 "$TOOLS/bin/pjdfstest" -c "$work/pjdfstest.toml" -p '{}' -s "$work/other" "${patterns[@]}"
    grep '^Summary' "$work/said"
done
