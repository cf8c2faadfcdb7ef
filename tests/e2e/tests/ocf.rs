//! OCF resource agents (docs/user/ocf.md) with the real things: nginx, Apache and PostgreSQL by Debian's resource-agents, in a mirror module.

use anyhow::{Context, ensure};
use e2e::{Lab, wait_until};
use std::time::Duration;

const MODULE: &str = "ocfapp";
/// What is waited for takes a second or two; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);

const INSTALL: &str = r#"set -e
mkdir -p /var/lib/ocfapp/conf /var/lib/ocfapp/bin /srv/ocf/www /run/postgresql /var/lib/nginx
chown postgres /run/postgresql
cat > /var/lib/ocfapp/conf/userconfig.xml <<'END'
<safe><service mode="mirror" maxloop="10">
  <heart pulse="400ms" timeout="3s"><heartbeat name="default"/><heartbeat name="repli"/></heart>
  <user nicestoptimeout="120" forcestoptimeout="60"/>
  <ocf agent="heartbeat:pgsql" interval="2">
    <param name="pgdata" value="/srv/ocf/data"/><param name="pgport" value="5433"/>
    <param name="pgctl" value="PGBIN/pg_ctl"/><param name="psql" value="PGBIN/psql"/>
  </ocf>
  <ocf agent="nginx" interval="1">
    <param name="configfile" value="/srv/ocf/nginx.conf"/><param name="status10url" value="http://127.0.0.1:8081/"/>
  </ocf>
  <ocf agent="ocf:heartbeat:apache" ident="web" interval="2">
    <param name="configfile" value="/srv/ocf/apache.conf"/><param name="httpd" value="/usr/sbin/apache2"/>
    <param name="statusurl" value="http://127.0.0.1:8082/index.html"/><param name="testregex" value="apache is here"/>
  </ocf>
  <failover period="500ms" handle_time="500ms"/>
</service></safe>
END
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
sed -i "s|PGBIN|$bin|g" /var/lib/ocfapp/conf/userconfig.xml
cat > /srv/ocf/nginx.conf <<'END'
pid /run/ocf-nginx.pid;
error_log /srv/ocf/nginx.log;
events {}
http {
  access_log off;
  server {
    listen 8081;
    location / { return 200 "nginx is here"; }
  }
}
END
cat > /srv/ocf/apache.conf <<'END'
ServerName lab
ServerRoot /srv/ocf
PidFile /run/ocf-apache.pid
Listen 8082
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog /srv/ocf/apache.log
User www-data
Group www-data
DocumentRoot /srv/ocf/www
<Directory /srv/ocf/www>
  Require all granted
</Directory>
END
echo '<html>apache is here</html>' > /srv/ocf/www/index.html
mkdir -p /srv/ocf/data && chown postgres /srv/ocf/data && chmod 700 /srv/ocf/data
cd / && setpriv --reuid=postgres --regid=postgres --init-groups $bin/initdb -A trust -N -D /srv/ocf/data > /dev/null
holdfast module install -m ocfapp /var/lib/ocfapp
holdfast config -m ocfapp
"#;

/// Each with what shows that it serves.
const SERVICES: [(&str, &str); 3] = [
    ("nginx", "curl -sf -m 5 http://127.0.0.1:8081/ | grep -q 'nginx is here'"),
    ("web", "curl -sf -m 5 http://127.0.0.1:8082/index.html | grep -q 'apache is here'"),
    ("pgsql", "psql -h 127.0.0.1 -p 5433 -U postgres -qAtc 'SELECT 1' postgres | grep -qx 1"),
];

struct Nodes(Lab);

impl Nodes {
    fn sh(&self, node: &str, script: &str) -> anyhow::Result<String> {
        self.0.exec_within(180, node, &["sh", "-c", script])
    }

    fn holdfast(&self, node: &str, command: &str) -> anyhow::Result<String> {
        self.sh(node, &format!("holdfast {command} -m {MODULE}"))
    }

    fn wait(&self, node: &str, state: &str) -> anyhow::Result<()> {
        let waited = self.sh(node, &format!("timeout 120 holdfast waitstate -m {MODULE} {state}"));
        waited.map(drop).with_context(|| format!("{node} never became {state}:\n{}", self.logs()))
    }

    fn logs(&self) -> String {
        let log = |node| self.sh(node, &format!("holdfast log -A -s 300 -m {MODULE}")).unwrap_or_default();
        ["node1", "node2"].map(|node| format!("{node}:\n{}", log(node))).concat()
    }

    fn becomes(&self, node: &str, resource: &str, value: &str) -> anyhow::Result<()> {
        let is = || {
            let state = self.holdfast(node, "state -v").unwrap_or_default();
            state.lines().any(|line| line.split_whitespace().take(2).eq([resource, value]))
        };
        wait_until(&format!("{resource} {value} on {node}"), PATIENCE, is).with_context(|| self.logs())
    }

    fn says(&self, node: &str, line: &str) -> anyhow::Result<()> {
        let said =
            || self.holdfast(node, "log -A -s 5000").is_ok_and(|log| log.lines().any(|said| said.ends_with(line)));
        wait_until(&format!("{line:?} on {node}"), PATIENCE, said).with_context(|| self.logs())
    }

    /// All three on this node, as their clients and as their agents see it.
    fn serves(&self, node: &str) -> anyhow::Result<()> {
        for (ident, asks) in SERVICES {
            self.sh(node, asks).with_context(|| format!("{ident} on {node}\n{}", self.logs()))?;
            self.becomes(node, &format!("custom.ocf_{ident}"), "up")?;
        }
        Ok(())
    }

    fn serves_nothing(&self, node: &str) -> anyhow::Result<()> {
        for (ident, asks) in SERVICES {
            ensure!(self.sh(node, asks).is_err(), "{ident} runs on {node}\n{}", self.logs());
        }
        Ok(())
    }
}

#[test]
fn agents_start_check_and_stop_an_application() {
    follow().expect("agents start, check and stop an application");
}

fn follow() -> anyhow::Result<()> {
    let nodes = Nodes(Lab::up("e2e-ocf", &[])?);
    for node in ["node1", "node2"] {
        nodes.sh(node, INSTALL)?;
    }
    conforming(&nodes)?;
    nodes.holdfast("node1", "prim")?;
    nodes.wait("node1", "ALONE")?;
    nodes.holdfast("node2", "second")?;
    nodes.wait("node2", "SECOND")?;
    nodes.wait("node1", "PRIM")?;
    nodes.serves("node1")?;
    nodes.serves_nothing("node2")?;

    // What dies is seen by its monitor, and all is started again where it is.
    nodes.sh("node1", "kill -9 $(cat /run/ocf-nginx.pid) $(pgrep -f 'nginx: worke[r]')")?;
    nodes.says("node1", "Resource custom.ocf_nginx set to down by ocf_monitor")?;
    nodes.says("node1", "Action restart from failover rule c_ocf_nginx")?;
    nodes.becomes("node1", "custom.ocf_nginx", "up")?;
    nodes.wait("node1", "PRIM")?;
    nodes.serves("node1")?;

    nodes.holdfast("node1", "stop")?;
    nodes.wait("node1", "STOP")?;
    nodes.wait("node2", "ALONE")?;
    nodes.serves("node2")?;
    nodes.serves_nothing("node1")
}

/// What the agents' own project tests them with, and with the parameters of the module, while it is stopped. Apache's passes, too, and takes half a
/// minute; of pgsql's what has to do with a replication of its own fails, without which it is used here.
fn conforming(nodes: &Nodes) -> anyhow::Result<()> {
    let tester = "ocf-tester -n nginx -o configfile=/srv/ocf/nginx.conf -o status10url=http://127.0.0.1:8081/ \
                  /usr/lib/ocf/resource.d/heartbeat/nginx 2>&1";
    let said = nodes.sh("node2", tester)?;
    ensure!(said.contains("passed all tests"), "{said}");
    Ok(())
}
