use crate::copies::{in_backing, until_equal};
use crate::lab::Lab;
use crate::wait_until;
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// What is waited for comes at once or in seconds; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// More than any of these modules says.
const LINES: &str = "5000";

/// Small mirror modules in a lab, with an "application" that is a file: for what an administrator does and reads, quickly.
pub struct Small {
    pub lab: Lab,
    modules: Vec<Module>,
}

/// One module and the two nodes that run it.
#[derive(Clone, Debug)]
pub struct Module {
    pub name: &'static str,
    pub vip: &'static str,
    pub nodes: [&'static str; 2],
    /// Attributes of `<service>` beside `mode`.
    pub service: &'static str,
    /// The networks of its heartbeats; the second one is the replication's. Twice the same: there is only that one.
    pub lans: [&'static str; 2],
    /// What `<failover>` holds.
    pub rules: &'static str,
    /// Attributes of `<rfs>`.
    pub rfs: &'static str,
    /// The whole userconfig.xml instead of the usual one.
    pub config: &'static str,
    /// Shell commands on each node before the module is installed.
    pub before: &'static str,
    /// `addr` is a name, `AM-vip`, which the hosts files have.
    pub named: bool,
    /// What `<check>` holds.
    pub check: &'static str,
}

impl Module {
    /// A module on node1 and node2 with the lab's own networks.
    pub fn new(name: &'static str, vip: &'static str, service: &'static str) -> Module {
        Module {
            name,
            vip,
            nodes: ["node1", "node2"],
            service,
            lans: ["default", "repli"],
            rules: "",
            rfs: "",
            config: "",
            before: "",
            named: false,
            check: "",
        }
    }

    fn userconfig(&self) -> String {
        let Module { name, vip, service, lans: [first, flow], rules, rfs, check, named, .. } = self;
        if !self.config.is_empty() {
            return self.config.to_owned();
        }
        let addr = if *named { format!("{name}-vip") } else { (*vip).to_owned() };
        let first = if first == flow { String::new() } else { format!(r#"<heartbeat name="{first}"/>"#) };
        format!(
            r#"<safe><service mode="mirror" {service}>
            <heart pulse="200ms" timeout="2s">{first}<heartbeat name="{flow}" ident="flow"/></heart>
            <rfs {rfs}><replicated dir="/data/{name}"/></rfs>
            <vip><interface_list><interface arpreroute="on"><real_interface>
              <virtual_addr addr="{addr}" where="one_side_alias"/></real_interface></interface></interface_list></vip>
            <user nicestoptimeout="20" forcestoptimeout="20"/>
            <check>{check}</check>
            <failover><![CDATA[{rules}]]></failover>
            </service></safe>"#
        )
    }

    /// Installs and configures it on one node; `prestart` and the like note in the user log that they ran.
    fn installer(&self) -> String {
        let (name, userconfig, before) = (self.name, self.userconfig(), self.before);
        let hosts = if self.named { format!("echo '{} {name}-vip' >> /etc/hosts; ", self.vip) } else { String::new() };
        format!(
            "set -e; umask 022; {hosts}{before}
             mkdir -p /data/{name} /var/small/{name}/conf /var/small/{name}/bin
             cat > /var/small/{name}/conf/userconfig.xml <<'END'\n{userconfig}\nEND
             cd /var/small/{name}/bin
             printf '#!/bin/sh\\necho start_prim \"$@\"; date +%%s%%N >> /data/{name}/starts; touch /run/{name}.runs\\n' > start_prim
             printf '#!/bin/sh\\necho stop_prim \"$@\"; rm -f /run/{name}.runs\\n' > stop_prim
             printf '#!/bin/sh\\necho prestart \"$@\"; rm -f /run/{name}.runs\\n' > prestart
             printf '#!/bin/sh\\necho poststop \"$@\"\\n' > poststop
             chmod 755 *
             holdfast module install -m {name} /var/small/{name}
             holdfast config -m {name}"
        )
    }
}

impl Small {
    /// A lab with these modules installed in the same order on every node, all stopped. `pairs`: networks beside `default` instead of
    /// the lab's own, each with a node that is not in it.
    pub fn up(lab: &str, nodes: &[&'static str], pairs: &[(&str, &str)], modules: &[Module]) -> anyhow::Result<Small> {
        let count = nodes.len().to_string();
        let lans: Vec<&str> = ["default"].into_iter().chain(pairs.iter().map(|(lan, _)| *lan)).collect();
        let lans = lans.join(",");
        let mut options = vec!["--nodes", &count];
        if !pairs.is_empty() {
            options.extend(["--lan", &lans]);
        }
        let small = Small { lab: Lab::up(lab, &options)?, modules: modules.to_vec() };
        let edits: String = pairs
            .iter()
            .map(|(lan, out)| {
                let (from, to) = (format!("<lan name=\"{lan}\">"), format!("<lan name=\"{lan}\" console=\"off\">"));
                format!(" -e '/{from}/,/<.lan>/{{/\"{out}\"/d;s/{from}/{to}/}}'")
            })
            .collect();
        if !edits.is_empty() {
            let before = small.signature(nodes[0]).context("the cluster's first signature")?;
            for node in nodes {
                let script =
                    format!("set -e; cd $SAFEVAR/cluster; sed {edits} cluster.xml > new.xml; mv new.xml cluster.xml");
                small.sh(node, &script)?;
            }
            let changed = |node: &&str| small.signature(node).is_some_and(|now| now != before);
            wait_until("the new cluster.xml on every node", PATIENCE, || nodes.iter().all(changed))?;
        }
        for node in nodes {
            for (place, module) in modules.iter().enumerate() {
                // Ports follow from the id, which has to be the same everywhere.
                let id = place + 1;
                let name = module.name;
                small.sh(
                    node,
                    &format!(
                        "set -e; mkdir -p $SAFE/private/modules/{name}; echo {id} > $SAFE/private/modules/{name}/id"
                    ),
                )?;
                if module.nodes.contains(node) {
                    small.sh(node, &module.installer()).with_context(|| format!("{name} on {node}"))?;
                }
            }
        }
        Ok(small)
    }

    /// The first module PRIM on its first node and SECOND on the other.
    pub fn pair(lab: &str, service: &'static str) -> anyhow::Result<Small> {
        let small = Small::up(lab, &["node1", "node2"], &[], &[Module::new("app", "10.90.1.20", service)])?;
        small.first_start("app", "node1", "node2")?;
        Ok(small)
    }

    /// `prim` on one node, `second` on the other.
    pub fn first_start(&self, module: &str, first: &str, second: &str) -> anyhow::Result<()> {
        self.holdfast(first, &["prim", "-m", module])?;
        self.wait(module, &[(first, "ALONE", "green")])?;
        self.holdfast(second, &["second", "-m", module])?;
        self.wait(module, &[(first, "PRIM", "green"), (second, "SECOND", "green")])
    }

    pub fn holdfast(&self, node: &str, args: &[&str]) -> anyhow::Result<String> {
        let command: Vec<&str> = ["holdfast"].iter().chain(args).copied().collect();
        self.lab.exec(node, &command)
    }

    pub fn sh(&self, node: &str, script: &str) -> anyhow::Result<String> {
        self.lab.exec(node, &["sh", "-c", script])
    }

    /// The cluster configuration that every node which this one should hear goes by; none while they differ or one isn't heard.
    fn signature(&self, node: &str) -> Option<String> {
        let shown = self.holdfast(node, &["cluster", "confinfo", "-o", "json"]).ok()?;
        let shown: serde_json::Value = serde_json::from_str(&shown).ok()?;
        let rows = shown["nodes"].as_array()?;
        let first = rows.first()?["signature"].as_str()?;
        let same = rows.iter().all(|row| row["heard"] == true && row["signature"] == first);
        same.then(|| first.to_owned())
    }

    /// `start` on a node that has just got its power back.
    pub fn start_when_up(&self, module: &str, node: &str) -> anyhow::Result<()> {
        wait_until(&format!("the daemon of {node}"), PATIENCE, || self.state(module, node).is_some())?;
        self.holdfast(node, &["start", "-m", module]).map(drop)
    }

    /// State and colour of a module on `node`, as that node says; none if it doesn't answer.
    pub fn state(&self, module: &str, node: &str) -> Option<(String, String)> {
        let text = self.holdfast(node, &["state", "-m", module, "-o", "json"]).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        let own = value["modules"].as_array()?.iter().find(|m| m["node"] == node)?;
        Some((own["state"].as_str()?.to_owned(), own["colour"].as_str()?.to_owned()))
    }

    /// Waits until the module is there on all of these nodes, each of them has written so into its log, and PRIM and SECOND know of each other.
    pub fn wait(&self, module: &str, wanted: &[(&str, &str, &str)]) -> anyhow::Result<()> {
        let began = Instant::now();
        let limit = PATIENCE;
        loop {
            let there = |(node, state, colour): &(&str, &str, &str)| {
                self.state(module, node).is_some_and(|now| now.0 == *state && now.1 == *colour)
            };
            if wanted.iter().all(there) && self.is_told(module, wanted) {
                return Ok(());
            }
            let states: Vec<_> = wanted.iter().map(|(node, ..)| (node, self.state(module, node))).collect();
            ensure!(
                began.elapsed() < limit,
                "{module} is {states:?} and not {wanted:?} after {} s\n{}",
                limit.as_secs(),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A state is shown before it is in the log, and a node is green before the other one has heard it.
    fn is_told(&self, module: &str, wanted: &[(&str, &str, &str)]) -> bool {
        for (node, state, colour) in wanted {
            let log = self.log(module, node).unwrap_or_default();
            let last = |what: &str| log.iter().rfind(|line| line.contains(what));
            let mut needed = vec![("Local state ", *state, *colour)];
            let pair = |one: &str, other: &str| matches!((one, other), ("PRIM", "SECOND") | ("SECOND", "PRIM"));
            needed.extend(
                wanted
                    .iter()
                    .filter(|other| other.0 != *node && pair(state, other.1))
                    .map(|other| ("Remote state ", other.1, other.2)),
            );
            let said = |(what, state, colour): &(&str, &str, &str)| {
                last(what).is_some_and(|line| line.ends_with(&format!("{what}{state} {colour}")))
            };
            if !needed.iter().all(said) {
                return false;
            }
        }
        true
    }

    /// The module's log on a node.
    pub fn log(&self, module: &str, node: &str) -> anyhow::Result<Vec<String>> {
        let text = self.holdfast(node, &["log", "-m", module, "-A", "-s", LINES])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// How many lines the log has now: what [`Small::said`] is asked to look behind.
    pub fn mark(&self, module: &str, node: &str) -> anyhow::Result<usize> {
        Ok(self.log(module, node)?.len())
    }

    /// The log must hold these texts in this order behind `mark`; a line may be on its way yet.
    pub fn said(&self, module: &str, node: &str, mark: usize, texts: &[&str]) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let log = self.log(module, node)?;
            let mut lines = log.iter().skip(mark);
            let missing = texts.iter().find(|text| !lines.any(|line| line.contains(**text)));
            let Some(missing) = missing else {
                return Ok(());
            };
            ensure!(
                began.elapsed() < PATIENCE,
                "the log of {node} has no {missing:?} (of {texts:?}, in this order):\n{}",
                log[mark.min(log.len())..].join("\n")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The log must not hold any of these texts behind `mark`.
    pub fn silent(&self, module: &str, node: &str, mark: usize, texts: &[&str]) -> anyhow::Result<()> {
        let log = self.log(module, node)?;
        let found = log.iter().skip(mark).find(|line| texts.iter().any(|text| line.contains(text)));
        ensure!(found.is_none(), "the log of {node} has {found:?}");
        Ok(())
    }

    /// The Ethernet address that the client has for an address, once it has spoken to it.
    pub fn client_has(&self, address: &str) -> anyhow::Result<String> {
        self.lab.exec("client", &["ping", "-c", "1", "-w", "60", address])?;
        let shown = self.lab.exec("client", &["ip", "-o", "neigh", "show", "to", address, "dev", "eth0"])?;
        let ethernet = shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1);
        ethernet.map(str::to_owned).with_context(|| format!("the client knows nobody at {address}: {shown}"))
    }

    /// The signatures of a module on the nodes, as `cluster state` shows them.
    pub fn module_signatures(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let shown = self.holdfast(node, &["cluster", "state", "-o", "json"])?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        let rows = shown["modules"].as_array().context("modules")?;
        Ok(rows.iter().filter_map(|row| Some(row["signature"].as_str()?.to_owned())).collect())
    }

    /// Whether the "application" runs there, and how often it was started on this copy.
    pub fn runs(&self, module: &str, node: &str) -> anyhow::Result<bool> {
        Ok(self.sh(node, &format!("test -e /run/{module}.runs && echo yes || echo no"))?.trim() == "yes")
    }

    /// The address is on a card of `holder` and of no other of the nodes.
    pub fn only_holder(&self, vip: &str, nodes: &[&'static str], holder: &'static str) -> anyhow::Result<()> {
        // What a primary that goes can't take away in time, the kernel does at the end of its lifetime.
        wait_until(&format!("{vip} on {holder} alone"), PATIENCE, || {
            self.holders(vip, nodes).is_ok_and(|now| now == [holder])
        })
    }

    /// A shell command in the directory behind the mount of a node, behind the module's back.
    pub fn in_backing(&self, module: &str, node: &str, command: &str) -> anyhow::Result<String> {
        in_backing(&self.lab, module, &format!("/data/{module}"), node, command)
    }

    /// Both copies are the same behind the mounts, once what was received is carried out; nothing may be written meanwhile.
    pub fn copies_are_equal(&self, module: &str, nodes: [&str; 2]) -> anyhow::Result<()> {
        until_equal(&self.lab, module, &format!("/data/{module}"), nodes, 1)
    }

    fn holders(&self, vip: &str, nodes: &[&'static str]) -> anyhow::Result<Vec<&'static str>> {
        let mut holders = Vec::new();
        for node in nodes {
            if self.sh(node, "ip -o address show")?.contains(&format!(" {vip}/")) {
                holders.push(*node);
            }
        }
        Ok(holders)
    }

    fn logs(&self) -> String {
        let one = |module: &Module, node: &str| {
            let text = self.holdfast(node, &["log", "-m", module.name, "-A", "-s", "60"]);
            format!("--- {} on {node}\n{}", module.name, text.unwrap_or_else(|error| format!("{error:#}\n")))
        };
        self.modules.iter().flat_map(|module| module.nodes.map(|node| one(module, node))).collect()
    }
}
