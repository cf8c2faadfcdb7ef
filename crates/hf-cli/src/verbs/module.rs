//! `module ...` (reference 004, 9.6).

pub(crate) mod list;
mod ports;

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

/// Install, pack, list and remove modules
#[derive(Debug, Subcommand)]
pub(crate) enum Module {
    Install(Install),
    Package(Package),
    Genkey(Genkey),
    Delkey(Delkey),
    Uninstall(Uninstall),
    List(list::List),
    Listid(list::Listid),
    Getinfo(list::Getinfo),
    Getports(ports::Getports),
}

/// Installs a module from a .safe package or from a directory with conf/ and bin/
///
/// It is then found in SAFE/modules/AM, to be edited and applied with `config -m AM`. The last three configurations that were
/// applied are packages in SAFE/modules/lastconfig: to go back to one, install it with -r and apply it with `config`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    module: ModuleArg,
    /// The package or directory; a bare name means SAFE/Application_Modules/NAME.safe
    package: PathBuf,
    /// Install over a module that is there
    #[arg(short = 'r')]
    reinstall: bool,
    /// The module's id, which its ports follow from; the same on all nodes
    #[arg(short = 'M', value_name = "ID")]
    id: Option<u32>,
}

/// Packs a module into a .safe file
///
/// The same files give the same bytes.
#[derive(Debug, Args)]
pub(crate) struct Package {
    #[command(flatten)]
    module: ModuleArg,
    /// Pack this directory instead of the installed module
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The package to make
    package: PathBuf,
}

/// Makes a key for one module: it seals, with the cluster's, the module's heartbeats and replication
///
/// It is used from the module's next `config` on, which needs the module to be stopped; every node of the module must have the same
/// key. Its place is said: copy it to the others yourself. Packages, dumps and snapshots never hold it.
#[derive(Debug, Args)]
pub(crate) struct Genkey {
    #[command(flatten)]
    module: ModuleArg,
}

/// Removes the key of one module: from its next `config` on the cluster's key alone seals what its nodes say
#[derive(Debug, Args)]
pub(crate) struct Delkey {
    #[command(flatten)]
    module: ModuleArg,
}

/// Removes a module that is stopped: its configuration, its scripts, its id
///
/// Replicated data stays where it is.
#[derive(Debug, Args)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn run(verb: Module, output: Output) -> Result<ExitCode, CliError> {
    match verb {
        Module::Install(verb) => install(verb, output).await,
        Module::Package(verb) => package(verb),
        Module::Genkey(verb) => key(verb.module, true, output).await,
        Module::Delkey(verb) => key(verb.module, false, output).await,
        Module::Uninstall(verb) => {
            let module = verb.module.required()?;
            admin::order(Request::ModuleUninstall { module }, output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Module::List(list::List {}) => list::names(output).await,
        Module::Listid(list::Listid {}) => list::ids(output).await,
        Module::Getinfo(verb) => list::info(verb, output).await,
        Module::Getports(verb) => ports::run(verb, output).await,
    }
}

async fn key(module: ModuleArg, generate: bool, output: Output) -> Result<ExitCode, CliError> {
    let module = module.required()?;
    admin::order(Request::ModuleKey { module, generate }, output).await?;
    Ok(ExitCode::SUCCESS)
}

async fn install(verb: Install, output: Output) -> Result<ExitCode, CliError> {
    let package = located(&verb.package)?.display().to_string();
    let request =
        Request::ModuleInstall { module: verb.module.optional()?, package, reinstall: verb.reinstall, id: verb.id };
    for reply in admin::ask(request, output).await? {
        let Reply::Installed { module, id } = reply else { continue };
        match output {
            Output::Text => print::text(&format!("Module {module} is installed with id {id}.\n"))?,
            Output::Json => print::json(&serde_json::json!({ "module": module, "id": id }))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The daemon needs an absolute path: it has another working directory.
fn located(package: &Path) -> Result<PathBuf, CliError> {
    let unreadable = |source| CliError::Read { path: package.to_owned(), source };
    // A name without a directory, with or without its end, is a package that came with the product, unless there is one here.
    let end = package.extension();
    let is_bare = package.components().count() == 1 && end.is_none_or(|end| end == "safe") && !package.exists();
    if is_bare {
        let mut name = package.as_os_str().to_owned();
        if end.is_none() {
            name.push(".safe");
        }
        return Ok(Paths::from_environment().safe.join("Application_Modules").join(name));
    }
    let path = absolute(package).map_err(unreadable)?;
    std::fs::metadata(&path).map_err(unreadable)?;
    Ok(path)
}

fn package(verb: Package) -> Result<ExitCode, CliError> {
    let dir = match verb.from {
        Some(dir) => dir,
        None => Paths::from_environment().module(&verb.module.required()?),
    };
    hf_package::pack(&dir, &verb.package)?;
    Ok(ExitCode::SUCCESS)
}
