//! Both nodes' copies, compared file by file behind the mounts.

use crate::pair::{MODULE, PGDATA, Pair};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long what was received may take to be applied.
const SETTLE: Duration = Duration::from_secs(5);
/// Differing files that are named at most.
const SHOWN: usize = 20;

/// Goes into the backing directory, whose path is covered: by the descriptor that rfs works with.
const INTO_BACKING: &str = r#"
rfs=$(cut -d' ' -f1 "$SAFEVAR/run/$MODULE/rfs.pid") || exit 1
for fd in /proc/$rfs/fd/*; do
    if [ "$(readlink "$fd")" = "${PGDATA}_For_SafeKit_Replication" ]; then backing=$fd; fi
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
for try in $(seq 300); do "$bin/pg_isready" -q -h "$VIP" && exit 0; sleep 0.1; done
tail -n 5 "$log"; exit 1
"#;

impl Pair {
    /// The module stays as it is (PRIM and SECOND) while PostgreSQL is stopped by hand: nothing changes, so both copies must be equal.
    pub fn compare_copies(&self) -> anyhow::Result<()> {
        let (primary, secondary) = self.roles()?;
        self.script(primary, STOP).context("stopping PostgreSQL by hand")?;
        let compared = self.until_equal(primary, secondary);
        self.script(primary, START).context("starting PostgreSQL by hand")?;
        compared
    }

    fn until_equal(&self, primary: &str, secondary: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let difference = self.difference(primary, secondary)?;
            if difference.is_empty() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < SETTLE,
                "the copies differ in {} lines (< {primary}, > {secondary}):\n{}",
                difference.len(),
                difference.into_iter().take(SHOWN).collect::<Vec<_>>().join("\n")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn difference(&self, primary: &str, secondary: &str) -> anyhow::Result<Vec<String>> {
        let (one, other) = (self.tree(primary)?, self.tree(secondary)?);
        ensure!(one.len() > 100, "the copy of {primary} is empty: {one:?}");
        let gone = one.difference(&other).map(|line| format!("< {line}"));
        let come = other.difference(&one).map(|line| format!("> {line}"));
        Ok(gone.chain(come).collect())
    }

    fn tree(&self, node: &str) -> anyhow::Result<BTreeSet<String>> {
        let program = tree_program()?;
        let text = self.in_backing(node, &format!("'{}' .", program.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// A shell command in a node's backing directory, behind the module's back.
    pub fn in_backing(&self, node: &str, command: &str) -> anyhow::Result<String> {
        self.script(node, &format!("{INTO_BACKING}\n{command}"))
    }

    fn script(&self, node: &str, script: &str) -> anyhow::Result<String> {
        let script = format!("set -u; MODULE={MODULE}; PGDATA={PGDATA}; VIP={}\n{script}", self.settings.vip());
        self.lab.exec(node, &["bash", "-c", &script])
    }
}

/// Beside this very test: cargo builds all binaries of a package for its tests.
fn tree_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dirs = own.ancestors().skip(1).take(2);
    let found = dirs.map(|dir| dir.join("tree")).find(|path| path.is_file());
    found.context("the program `tree` is not built: run 'cargo build -p e2e'")
}
