//! `holdfast lab up`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::addr;
use crate::cgroup::Cgroup;
use crate::cluster;
use crate::down;
use crate::error::{Context, LabError, Result, entries, mkdir};
use crate::node::boot::boot_all;
use crate::node::{root, systemd};
use crate::paths::{Paths, VHOST_LIBRARY};
use crate::process::self_exe;
use crate::state::{DiskKind, InitKind, Lab, Lock, check_name};
use crate::switch;

/// What `up` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// How many nodes: node1, node2, ...
    #[arg(long, default_value_t = 2)]
    pub nodes: usize,
    /// Names of the LANs, the first for the applications' clients.
    #[arg(long, value_delimiter = ',', default_values = ["default", "repli"])]
    pub lan: Vec<String>,
    /// What runs as PID 1 of a node.
    #[arg(long, value_enum, default_value = "holdfast")]
    pub init: InitKind,
    /// How the nodes' disks behave at a power cut.
    #[arg(long, value_enum, default_value = "volatile")]
    pub disk: DiskKind,
    /// Where packaged modules (*.safe) are taken from; HOLDFAST_PACKAGES in the environment does the same.
    #[arg(long)]
    pub packages: Option<PathBuf>,
    /// Nodes without the daemon, with systemd without an installation: to try out the lab itself, or a package.
    #[arg(long, hide = true)]
    pub no_daemon: bool,
}

fn check(args: &UpArgs) -> Result<()> {
    if args.init == InitKind::Systemd {
        systemd::require()?;
    }
    if !(1..=addr::MAX_NODES).contains(&args.nodes) {
        return Err(LabError::Usage(format!("--nodes {}: 1 to {}", args.nodes, addr::MAX_NODES)));
    }
    if args.lan.is_empty() || args.lan.len() > addr::MAX_LANS {
        return Err(LabError::Usage(format!("--lan: 1 to {} names", addr::MAX_LANS)));
    }
    for (i, name) in args.lan.iter().enumerate() {
        check_name("LAN", name)?;
        if args.lan[..i].contains(name) {
            return Err(LabError::Usage(format!("--lan: {name} twice")));
        }
    }
    Ok(())
}

/// Makes the lab, or leaves nothing of it.
pub fn up(name: &str, args: &UpArgs) -> Result<()> {
    check_name("lab", name)?;
    check(args)?;
    let started = Instant::now();
    let binary = self_exe()?;
    let given = args.packages.clone().or_else(|| std::env::var_os("HOLDFAST_PACKAGES").map(PathBuf::from));
    let packages = cluster::find_packages(given.as_deref(), &binary)?;
    let paths = Paths::new(name);
    if paths.lab_json().exists() {
        return Err(LabError::Usage(format!(
            "there is a lab {name} already: `holdfast lab --name {name} down` takes it away"
        )));
    }
    let came_from = Cgroup::current()?;
    let made = make(name, args, &binary, packages.as_deref(), &paths);
    match made {
        Ok(lab) => {
            crate::status::greet(&lab, started.elapsed());
            Ok(())
        }
        Err(e) => {
            let kept = keep_consoles(name, &paths);
            down::down_from_inside(name, &came_from)?;
            Err(LabError::Failed(format!("{e}{kept}")))
        }
    }
}

/// A lab that didn't come up is taken away; the end of what its machines said is shown, because its files go too.
fn keep_consoles(name: &str, paths: &Paths) -> String {
    let mut text = String::new();
    for file in entries(&paths.run) {
        if file.extension().is_some_and(|e| e == "console") {
            let content = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = content.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                let machine = file.file_stem().unwrap_or_default().to_string_lossy();
                text += &format!("\n  {machine}: {}", line.escape_debug());
            }
        }
    }
    format!("\n  (lab {name} is taken away){text}")
}

fn make(name: &str, args: &UpArgs, binary: &Path, packages: Option<&Path>, paths: &Paths) -> Result<Lab> {
    mkdir(&paths.run)?;
    mkdir(&paths.images)?;
    let _lock = Lock::lab(name)?;
    let helpers = switch::helpers(name)?;
    helpers.create()?;
    // From now on all we start can be found, even if this process is killed.
    helpers.join()?;
    copy_binary(binary, &paths.binary())?;
    let library = binary.with_file_name(VHOST_LIBRARY);
    if library.exists() {
        copy_binary(&library, &paths.vhost_library())?;
    }
    copy_packages(packages, &paths.packages())?;
    let nodes: Vec<String> = (1..=args.nodes).map(|n| format!("node{n}")).collect();
    cluster::prepare(paths, &args.lan, &nodes)?;
    let mut lab = Lab {
        name: name.to_owned(),
        nodes,
        lans: Vec::new(),
        disk: args.disk,
        daemon: !args.no_daemon,
        init: args.init,
        visible: root::also_visible(binary),
        complete: false,
        drops: Default::default(),
        shapes: Vec::new(),
    };
    for (number, lan) in (1..).zip(&args.lan) {
        let log = paths.console("switch");
        lab.lans.push(switch::start(&paths.binary(), name, lan, number, &log)?);
    }
    lab.save()?;
    let machines: Vec<&str> = lab.machines().collect();
    boot_all(&lab, &paths.binary(), &machines)?;
    if lab.daemon {
        cluster::wait_complete(&lab)?;
    }
    lab.complete = true;
    lab.save()?;
    Ok(lab)
}

fn copy_binary(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(|_| ()).context(|| format!("copying {} to {}", from.display(), to.display()))
}

fn copy_packages(from: Option<&Path>, to: &Path) -> Result<()> {
    mkdir(to)?;
    for file in from.into_iter().flat_map(entries) {
        if file.extension().is_some_and(|e| e == "safe")
            && let Some(name) = file.file_name()
        {
            copy_binary(&file, &to.join(name))?;
        }
    }
    Ok(())
}
