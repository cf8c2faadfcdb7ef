//! `holdfast conflict`: the copies that were kept when both nodes had gone on by themselves (guide, P7). Files of this node only; no
//! process of the module is asked.

mod compare;

use compare::{Difference, differences};
use hf_config::{Exclusions, Rfs};
use hf_host::cluster::Identity;
use hf_host::files::with_causes;
use hf_host::{Paths, cluster, module};
use hf_types::ModuleName;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Shows, compares, takes back or drops what the loser of a split brain had: each copy was put by before it was overwritten.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "conflict", bin_name = "holdfast conflict")]
pub struct ConflictArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The module; SAFEMODULE in the environment does the same
    #[arg(short = 'm', value_name = "AM", env = "SAFEMODULE", global = true)]
    module: Option<ModuleName>,
    /// How answers are printed: text or json
    #[arg(short, long, global = true, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// The kept copies of this node
    List,
    /// Which files differ between a kept copy and the directory as it is now
    Diff {
        /// The copy, as `list` names it; may be left out when there is only one
        copy: Option<String>,
    },
    /// Writes a kept copy, or one file or directory of it, to a directory of yours
    Take {
        /// The copy, as `list` names it
        copy: String,
        /// What of it, as `diff` shows it; all of it if left out
        path: Option<PathBuf>,
        /// A new directory, not inside a replicated one
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Removes a kept copy: what only it has is gone then
    Drop {
        /// The copy, as `list` names it
        copy: String,
    },
    /// Lets the next one be overwritten without being kept (when there is no room for it)
    Giveup,
}

#[derive(Debug, thiserror::Error)]
enum ConflictError {
    #[error("which module? name it with -m AM, or set SAFEMODULE")]
    NoModule,
    #[error(transparent)]
    Cluster(#[from] hf_host::cluster::ClusterError),
    #[error(transparent)]
    Module(#[from] hf_host::module::ModuleError),
    #[error("the module {0} replicates nothing: its userconfig.xml has no <rfs>")]
    NoRfs(ModuleName),
    #[error("no kept copy is called {0}; 'holdfast conflict list' names those that are there")]
    Unknown(String),
    #[error("{0} copies are kept: say which one ('holdfast conflict list' names them)")]
    Which(usize),
    #[error("{} is there already, or inside a replicated directory: name a new directory elsewhere", .0.display())]
    Target(PathBuf),
    #[error("{} isn't in that copy", .0.display())]
    NoSuchPath(PathBuf),
    #[error("can't {what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("a pattern of <notreplicated> can't be used: {0}")]
    Pattern(String),
    #[error("can't write the answer as JSON")]
    Json(#[from] serde_json::Error),
    #[error("cp ended with {0}; what is in the new directory is not complete")]
    Copy(std::process::ExitStatus),
}

/// One kept copy of one directory.
#[derive(Clone, Debug, Serialize)]
struct Copy {
    copy: String,
    directory: String,
    kept_at: u64,
    files: u64,
    bytes: u64,
    #[serde(skip)]
    place: PathBuf,
}

/// Runs the verb; the exit code is 0, or 1 with one line on standard error.
pub fn run(args: &ConflictArgs) -> ExitCode {
    match Conflicts::load(args).and_then(|conflicts| conflicts.run(&args.verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

struct Conflicts {
    rfs: Rfs,
    json: bool,
}

impl Conflicts {
    fn load(args: &ConflictArgs) -> Result<Conflicts, ConflictError> {
        let module = args.module.clone().ok_or(ConflictError::NoModule)?;
        let paths = Paths::from_environment();
        let node = std::env::var("HOLDFAST_NODE").ok().and_then(|name| name.parse().ok());
        let member = cluster::load(&paths, &Identity::of_this_machine(node))?;
        let rfs = module::load(&paths, &module, &member.cluster)?.config.rfs;
        Ok(Conflicts { rfs: rfs.ok_or(ConflictError::NoRfs(module))?, json: args.output == "json" })
    }

    fn run(&self, verb: &Verb) -> Result<(), ConflictError> {
        match verb {
            Verb::List => self.list(),
            Verb::Diff { copy } => self.diff(copy.as_deref()),
            Verb::Take { copy, path, to } => self.take(copy, path.as_deref(), to),
            Verb::Drop { copy } => self.drop(copy),
            Verb::Giveup => self.give_up(),
        }
    }

    fn homes(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.rfs.replicated.iter().map(|replicated| {
            let control = PathBuf::from(self.rfs.backing_dir(replicated) + ".hold");
            // A file system of its own keeps them on itself, as does a directory that keeps its name.
            let whole = !self.rfs.mount_over || control.join("filesystem").exists();
            let home = if whole { Path::new(&replicated.dir).join(hf_fs::backing::INSIDE) } else { control };
            (replicated.dir.clone(), home.join("conflicts"))
        })
    }

    fn all(&self) -> Result<Vec<Copy>, ConflictError> {
        let mut all = Vec::new();
        for (directory, home) in self.homes() {
            let failed = |source| ConflictError::Io { what: "read", path: home.clone(), source };
            let entries = match std::fs::read_dir(&home) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            for entry in entries {
                all.extend(read(&entry.map_err(failed)?.path(), &directory)?);
            }
        }
        all.sort_by(|a, b| (a.kept_at, &a.directory).cmp(&(b.kept_at, &b.directory)));
        Ok(all)
    }

    /// Of a module with several directories, one each.
    fn named(&self, name: Option<&str>) -> Result<Vec<Copy>, ConflictError> {
        let all = self.all()?;
        let mut names: Vec<&str> = all.iter().map(|copy| copy.copy.as_str()).collect();
        names.dedup();
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, [only]) => (*only).to_owned(),
            (None, others) => return Err(ConflictError::Which(others.len())),
        };
        let found: Vec<Copy> = all.into_iter().filter(|copy| copy.copy == name).collect();
        if found.is_empty() { Err(ConflictError::Unknown(name)) } else { Ok(found) }
    }

    fn left_out(&self, directory: &str) -> Result<Exclusions, ConflictError> {
        let replicated = self.rfs.replicated.iter().find(|replicated| replicated.dir == directory);
        replicated.map_or(Ok(Exclusions::default()), |found| Exclusions::new(found).map_err(ConflictError::Pattern))
    }

    fn list(&self) -> Result<(), ConflictError> {
        let all = self.all()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "copies": all }))?);
        } else if all.is_empty() {
            println!("No copy was kept on this node.");
        }
        for copy in all.iter().filter(|_| !self.json) {
            println!(
                "{}  {}  kept {}  {} files, {} MB",
                copy.copy,
                copy.directory,
                utc(copy.kept_at),
                copy.files,
                copy.bytes >> 20
            );
        }
        Ok(())
    }

    fn diff(&self, name: Option<&str>) -> Result<(), ConflictError> {
        let mut found = Vec::new();
        for copy in self.named(name)? {
            let now = PathBuf::from(&copy.directory);
            let differing = differences(&copy.place.join("data"), &now, &self.left_out(&copy.directory)?);
            found.extend(differing.map_err(|(path, source)| ConflictError::Io { what: "compare", path, source })?);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "differences": found }))?);
            return Ok(());
        }
        for Difference { path, what } in &found {
            println!("{what:9}  {}", path.display());
        }
        println!("{} differences; 'holdfast conflict take' writes what was kept to a directory of yours.", found.len());
        Ok(())
    }

    fn take(&self, name: &str, path: Option<&Path>, to: &Path) -> Result<(), ConflictError> {
        let inside = |dir: &String| to.starts_with(dir) || to.starts_with(format!("{dir}{}", self.rfs.suffix));
        let relative = !to.is_absolute() || to.symlink_metadata().is_ok();
        if relative || self.rfs.replicated.iter().any(|replicated| inside(&replicated.dir)) {
            return Err(ConflictError::Target(to.to_owned()));
        }
        let copies = self.named(Some(name))?;
        let several = copies.len() > 1;
        for copy in copies {
            let mut from = copy.place.join("data");
            if let Some(path) = path {
                from.push(path.strip_prefix(&copy.directory).unwrap_or(path));
            }
            if from.components().any(|part| part == std::path::Component::ParentDir) || from.symlink_metadata().is_err()
            {
                return Err(ConflictError::NoSuchPath(from));
            }
            let below = copy.directory.trim_start_matches('/').replace('/', "_");
            copy_out(&from, &if several { to.join(below) } else { to.to_owned() })?;
        }
        println!("written to {}", to.display());
        Ok(())
    }

    fn drop(&self, name: &str) -> Result<(), ConflictError> {
        for copy in self.named(Some(name))? {
            let failed = |source| ConflictError::Io { what: "remove", path: copy.place.clone(), source };
            // First its note, so that what is left of an interrupted removal isn't taken for a copy.
            std::fs::remove_file(copy.place.join("kept.json")).map_err(failed)?;
            std::fs::remove_dir_all(&copy.place).map_err(failed)?;
        }
        println!("dropped");
        Ok(())
    }

    fn give_up(&self) -> Result<(), ConflictError> {
        for (_, home) in self.homes() {
            let failed = |source| ConflictError::Io { what: "write", path: home.clone(), source };
            std::fs::create_dir_all(&home).map_err(failed)?;
            std::fs::write(home.join("giveup"), "").map_err(failed)?;
        }
        println!("the next copy is overwritten without being kept");
        Ok(())
    }
}

/// None: it isn't complete, or nothing was kept of it.
fn read(place: &Path, directory: &str) -> Result<Option<Copy>, ConflictError> {
    let note = place.join("kept.json");
    let text = match std::fs::read(&note) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other.map_err(|source| ConflictError::Io { what: "read", path: note, source })?,
    };
    let kept: hf_fs::sync::Kept = serde_json::from_slice(&text)?;
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let complete = !kept.given_up && !name.ends_with(".part");
    Ok(complete.then(|| Copy {
        copy: name,
        directory: directory.to_owned(),
        kept_at: kept.at,
        files: kept.files,
        bytes: kept.bytes,
        place: place.to_owned(),
    }))
}

/// With everything that `cp -a` knows: owners, times, links, holes, extended attributes.
fn copy_out(from: &Path, to: &Path) -> Result<(), ConflictError> {
    if let Some(parent) = to.parent() {
        let failed = |source| ConflictError::Io { what: "make", path: parent.to_owned(), source };
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let status = Command::new("cp").args(["-a", "--reflink=auto", "-T", "--"]).arg(from).arg(to).status();
    let status = status.map_err(|source| ConflictError::Io { what: "run", path: "cp".into(), source })?;
    if status.success() { Ok(()) } else { Err(ConflictError::Copy(status)) }
}

fn utc(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
