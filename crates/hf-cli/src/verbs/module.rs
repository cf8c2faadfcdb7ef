//! `module install`, `module package` (reference 004, 9.6).

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

/// Install and pack modules
#[derive(Debug, Subcommand)]
pub(crate) enum Module {
    Install(Install),
    Package(Package),
}

/// Installs a module from a .safe package or from a directory with conf/ and bin/
///
/// It is then found in SAFE/modules/AM, to be edited and applied with `config -m AM`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    module: ModuleArg,
    /// The package or directory; a bare name means SAFE/Application_Modules/NAME.safe
    package: PathBuf,
    /// Install over a module that is there
    #[arg(short = 'r')]
    reinstall: bool,
    /// The module's id, which its ports follow from
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

pub(crate) async fn run(verb: Module, output: Output) -> Result<ExitCode, CliError> {
    match verb {
        Module::Install(verb) => install(verb, output).await,
        Module::Package(verb) => package(verb),
    }
}

async fn install(verb: Install, output: Output) -> Result<ExitCode, CliError> {
    if verb.reinstall {
        return Err(CliError::NotYet("module install -r".to_owned()));
    }
    if verb.id.is_some() {
        return Err(CliError::NotYet("module install -M".to_owned()));
    }
    let package = located(&verb.package)?;
    let request = Request::ModuleInstall { module: verb.module.optional()?, package: package.display().to_string() };
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
    let is_bare = package.components().count() == 1 && package.extension().is_none() && !package.exists();
    if is_bare {
        let name = format!("{}.safe", package.display());
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
