//! Both nodes' copies, compared file by file behind the mounts.

use crate::lab::Lab;
use crate::pair::{MODULE, PGDATA, Pair};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long what was received may take to be applied.
const SETTLE: Duration = Duration::from_secs(60);
/// Differing files that are named at most.
const SHOWN: usize = 20;

/// Goes into the backing directory, whose path is covered: by the descriptor that rfs works with.
const INTO_BACKING: &str = r#"
rfs=$(cut -d' ' -f1 "$SAFEVAR/run/$MODULE/rfs.pid") || exit 1
for fd in /proc/$rfs/fd/*; do
    if [ "$(readlink "$fd")" = "${DATA}_For_SafeKit_Replication" ]; then backing=$fd; fi
done
[ -n "${backing:-}" ] && cd "$backing/" || { echo "rfs has no descriptor of the backing directory"; exit 1; }
"#;

const STOP: &str = r#"
cp "$PGDATA/postmaster.opts" /tmp/e2e.opts
setpriv --reuid=postgres --regid=postgres --init-groups -- "$(dirname "$(cut -d' ' -f1 "$PGDATA/postmaster.opts")")/pg_ctl" stop -s -w -m fast -D "$PGDATA"
"#;

const START: &str = r#"
log=$SAFEVAR/modules/$MODULE/pg/postgresql.log
eval "setpriv --reuid=postgres --regid=postgres --init-groups -- setsid $(cat /tmp/e2e.opts)" >>"$log" 2>&1 </dev/null &
bin=$(dirname "$(cut -d' ' -f1 /tmp/e2e.opts)")
for try in $(seq 900); do "$bin/pg_isready" -q -h "$VIP" && exit 0; sleep 0.1; done
tail -n 5 "$log"; exit 1
"#;

impl Pair {
    /// The module stays as it is (PRIM and SECOND) while PostgreSQL is stopped by hand: nothing changes, so both copies must be equal.
    pub fn compare_copies(&self) -> anyhow::Result<()> {
        let (primary, secondary) = self.roles()?;
        self.script(primary, STOP).context("stopping PostgreSQL by hand")?;
        let compared = until_equal(&self.lab, MODULE, PGDATA, [primary, secondary], 100);
        self.script(primary, START).context("starting PostgreSQL by hand")?;
        compared
    }

    /// A shell command in a node's backing directory, behind the module's back.
    pub fn in_backing(&self, node: &str, command: &str) -> anyhow::Result<String> {
        in_backing(&self.lab, MODULE, PGDATA, node, command)
    }

    fn script(&self, node: &str, script: &str) -> anyhow::Result<String> {
        let script = format!("set -u; MODULE={MODULE}; PGDATA={PGDATA}; VIP={}\n{script}", self.settings.vip());
        self.lab.exec(node, &["bash", "-c", &script])
    }
}

/// Both nodes have the same behind the mount `data`, at least so many files; within some seconds, because something may still be on its way.
pub fn until_equal(lab: &Lab, module: &str, data: &str, nodes: [&str; 2], least: usize) -> anyhow::Result<()> {
    let began = Instant::now();
    let tree = |node| tree(lab, module, data, node);
    loop {
        let (one, other) = (tree(nodes[0])?, tree(nodes[1])?);
        ensure!(one.len() > least, "the copy of {} is empty: {one:?}", nodes[0]);
        let gone = one.difference(&other).map(|line| format!("< {line}"));
        let come = other.difference(&one).map(|line| format!("> {line}"));
        let difference: Vec<String> = gone.chain(come).collect();
        if difference.is_empty() {
            return Ok(());
        }
        ensure!(
            began.elapsed() < SETTLE,
            "the copies differ in {} lines (< {}, > {}):\n{}",
            difference.len(),
            nodes[0],
            nodes[1],
            difference.into_iter().take(SHOWN).collect::<Vec<_>>().join("\n")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn tree(lab: &Lab, module: &str, data: &str, node: &str) -> anyhow::Result<BTreeSet<String>> {
    let program = tree_program()?;
    let text = in_backing(lab, module, data, node, &format!("'{}' .", program.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A shell command in the directory behind the mount `data` of a node.
pub(crate) fn in_backing(lab: &Lab, module: &str, data: &str, node: &str, command: &str) -> anyhow::Result<String> {
    let script = format!("set -u; MODULE={module}; DATA={data}\n{INTO_BACKING}\n{command}");
    lab.exec(node, &["bash", "-c", &script])
}

/// The program that lists a copy, beside this very test: cargo builds all binaries of a package for its tests.
pub fn tree_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dirs = own.ancestors().skip(1).take(2);
    let found = dirs.map(|dir| dir.join("tree")).find(|path| path.is_file());
    found.context("the program `tree` is not built: run 'cargo build -p e2e'")
}
