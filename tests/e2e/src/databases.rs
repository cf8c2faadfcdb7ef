//! The modules mariadb and redis as they come with the product, side by side on two nodes.

use crate::copies::until_equal;
use crate::recorder::{Recorder, Summary};
use crate::small::Small;
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

const NODES: [&str; 2] = ["node1", "node2"];
const PASSWORD: &str = "/tmp/redis.password";
const PATIENCE: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Database {
    /// The module, its package and its kind for the recorder.
    pub name: &'static str,
    program: &'static str,
    data: &'static str,
    /// Options of the recorder that name the server.
    server: &'static [&'static str],
}

pub const MARIADB: Database = Database {
    name: "mariadb",
    program: "mariadbd",
    data: "/var/lib/holdfast-mariadb/data",
    server: &["--kind", "mariadb", "--host", "10.90.1.11"],
};

pub const REDIS: Database = Database {
    name: "redis",
    program: "redis-server",
    data: "/var/lib/holdfast-redis/data",
    server: &["--kind", "redis", "--host", "10.90.1.12", "--password-file", PASSWORD],
};

const BOTH: [Database; 2] = [MARIADB, REDIS];

/// Both, in a lab of their own.
pub struct Databases(pub Small);

impl Databases {
    /// Both installed as the guide says, PRIM on node1 and SECOND on node2, with users who may come in from the client.
    pub fn start(lab: &str) -> anyhow::Result<Databases> {
        let all = Databases(Small::up(lab, &NODES, &[], &[])?);
        for node in NODES {
            for Database { name, data, .. } in BOTH {
                let said = all.0.sh(node, &install(name))?;
                ensure!(said.contains(&format!("mkdir -p {data}")), "confcheck doesn't name what is missing: {said}");
                all.0.sh(
                    node,
                    &format!("set -e; mkdir -p {data}; holdfast confcheck -m {name}; holdfast config -m {name}"),
                )?;
            }
        }
        for database in BOTH {
            all.0.first_start(database.name, "node1", "node2")?;
        }
        all.let_the_client_in()?;
        Ok(all)
    }

    /// What an administrator does on the node where the server runs.
    fn let_the_client_in(&self) -> anyhow::Result<()> {
        let user = "CREATE DATABASE recorder; CREATE USER recorder@'10.90.1.%'; GRANT ALL ON recorder.* TO recorder@'10.90.1.%'";
        self.0.sh(
            "node1",
            &format!("mariadb --socket=$SAFEVAR/modules/mariadb/mariadb/mariadb.sock --execute=\"{user}\""),
        )?;
        let password = self.0.sh("node1", &format!("cat {}/password", REDIS.data))?;
        self.0.sh("client", &format!("echo '{}' > {PASSWORD}", password.trim())).map(drop)
    }

    pub fn loads(&self) -> anyhow::Result<[Recorder; 2]> {
        let load = |database: Database| Recorder::start_for(&self.0.lab, database.name, database.server);
        Ok([load(MARIADB)?, load(REDIS)?])
    }

    /// Each load has gone on: so many more were acknowledged.
    pub fn wait_for_more(&self, loads: &[Recorder; 2], more: u64) -> anyhow::Result<()> {
        for load in loads {
            let before = load.acknowledged(&self.0.lab)?;
            let began = Instant::now();
            while load.acknowledged(&self.0.lab)? < before + more {
                ensure!(began.elapsed() < PATIENCE, "the load stands still after {before} acknowledged");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Both modules PRIM on the one and SECOND on the other.
    pub fn wait_in_step(&self, primary: &str, secondary: &str) -> anyhow::Result<()> {
        for database in BOTH {
            self.0.wait(database.name, &[(primary, "PRIM", "green"), (secondary, "SECOND", "green")])?;
        }
        Ok(())
    }

    /// For each module, what `command` of `holdfast` says.
    pub fn each(&self, node: &str, command: &str) -> anyhow::Result<()> {
        BOTH.iter().try_for_each(|database| self.0.holdfast(node, &[command, "-m", database.name]).map(drop))
    }

    /// The loads end, and all that was acknowledged is there.
    pub fn verified(&self, loads: [Recorder; 2]) -> anyhow::Result<[Summary; 2]> {
        let [mariadb, redis] = loads;
        let summaries = [mariadb.stop_in(&self.0.lab)?, redis.stop_in(&self.0.lab)?];
        self.verify()?;
        Ok(summaries)
    }

    /// What was acknowledged is there now.
    pub fn verify(&self) -> anyhow::Result<()> {
        for Database { name, server, .. } in BOTH {
            let count =
                Recorder::verify_for(&self.0.lab, name, server).with_context(|| format!("what {name} holds"))?;
            ensure!(count > 0, "{name} was asked for nothing");
        }
        Ok(())
    }

    /// The servers are stopped in good order behind the modules' backs: nothing changes then, so both copies must be equal.
    pub fn compare_copies_after_a_stop(&self, primary: &str, secondary: &str) -> anyhow::Result<()> {
        for Database { name, program, data, .. } in BOTH {
            let stop = format!(
                "pkill --exact {program}; for n in $(seq 600); do pgrep --exact {program} >/dev/null || exit 0; sleep 0.1; done; exit 1"
            );
            self.0.sh(primary, &stop).with_context(|| format!("stopping {name} by hand"))?;
            until_equal(&self.0.lab, name, data, [primary, secondary], 2)
                .with_context(|| format!("the copies of {name}"))?;
        }
        Ok(())
    }
}

/// Installs and gives the heartbeats a quick time-out; `confcheck` says what is missing.
fn install(name: &str) -> String {
    format!(
        "set -e; holdfast module install -m {name} $SAFE/Application_Modules/{name}.safe
         sed -i -e 's/name=\"HEARTBEAT_TIMEOUT\" value=\"[^\"]*\"/name=\"HEARTBEAT_TIMEOUT\" value=\"1s\"/' \
             -e 's/name=\"HEARTBEAT_PULSE\" value=\"[^\"]*\"/name=\"HEARTBEAT_PULSE\" value=\"200ms\"/' $SAFE/modules/{name}/conf/userconfig.xml
         if holdfast confcheck -m {name} 2>&1; then exit 1; fi"
    )
}
