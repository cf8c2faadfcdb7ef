//! `AM_start_wrapper` and `AM_stop_wrapper`: run the application outside its module, as its scripts run it.

use hf_config::{ModuleConfig, User};
use hf_host::files::{FileError, failed};
use hf_host::{Paths, environment};
use hf_types::{Mode, ModuleName, ModuleState};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes both into a module's applied directory, for a module with `<user>`. Beside `bin`, not into it: what was applied is
/// compared with what is edited by its `conf` and `bin`.
pub fn write(applied: &Path, paths: &Paths, module: &ModuleName, config: &ModuleConfig) -> Result<(), FileError> {
    let Some(user) = &config.user else { return Ok(()) };
    for (verb, calls) in [("start", start(config.service.mode)), ("stop", stop(config.service.mode))] {
        let file = applied.join(format!("{module}_{verb}_wrapper"));
        fs::write(&file, text(verb, &calls, paths, module, user)).map_err(failed("write", &file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(failed("set the mode of", &file))?;
    }
    Ok(())
}

/// The start scripts that a node calls which has no other one, and the state that they are told.
fn start(mode: Mode) -> String {
    let (scripts, state) = match mode {
        Mode::Mirror => ("start_both start_prim", ModuleState::Alone),
        Mode::Farm | Mode::Light => ("start_both", ModuleState::Up),
    };
    format!(
        r#"for start in {scripts}; do
    if [ -x "$SAFEUSERBIN/$start" ]; then
        "$SAFEUSERBIN/$start" STOP {state} start || result=$?
    fi
done
"#
    )
}

fn stop(mode: Mode) -> String {
    let (scripts, state) = match mode {
        Mode::Mirror => ("stop_prim stop_both", ModuleState::Alone),
        Mode::Farm | Mode::Light => ("stop_both", ModuleState::Up),
    };
    format!(
        r#"for stop in {scripts}; do
    if [ -x "$SAFEUSERBIN/$stop" ]; then
        "$SAFEUSERBIN/$stop" {state} STOP stop || result=$?
        "$SAFEUSERBIN/$stop" force {state} STOP stop
    fi
done
"#
    )
}

fn text(verb: &str, calls: &str, paths: &Paths, module: &ModuleName, user: &User) -> String {
    let exports: String = environment::of_scripts(paths, module, Some(user))
        .into_iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect();
    format!(
        r#"#!/bin/sh
# Written by "holdfast config -m {module}": a change here is lost at the next one.
# The {verb} of the application as the module's scripts do it, without the module: no replication, no virtual address.
set -u
PATH={path}
export PATH
{exports}
if [ -e "$SAFEVAR/run/$SAFEMODULE/heart.sock" ]; then
    echo "The module $SAFEMODULE is started on this node: it runs the application. First: holdfast stop -m $SAFEMODULE" >&2
    exit 1
fi
result=0
{calls}exit $result
"#,
        path = hf_exec::SCRIPT_PATH,
    )
}

/// One word for a shell, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_config::Variable;
    use std::process::Command;

    #[test]
    fn the_wrappers_call_the_scripts_with_their_environment() {
        let place = tempfile::tempdir().unwrap();
        let paths = Paths::new(place.path().join("safe"), place.path().join("var"));
        let module: ModuleName = "pg".parse().unwrap();
        let bin = paths.user_bin(&module);
        fs::create_dir_all(&bin).unwrap();
        let said = place.path().join("said");
        for script in ["start_prim", "stop_prim"] {
            let body = format!("#!/bin/sh\necho \"${{0##*/}} $* $SAFEMODULE [$WORD]\" >> {}\nexit 3\n", said.display());
            fs::write(bin.join(script), body).unwrap();
            fs::set_permissions(bin.join(script), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let word = Variable { name: "WORD".to_owned(), value: "it's $HOME; `id`".to_owned() };
        let user = User { variables: vec![word], ..config("mirror").user.unwrap() };
        let applied = paths.applied(&module);
        write(&applied, &paths, &module, &ModuleConfig { user: Some(user), ..config("mirror") }).unwrap();
        let run = |name: &str| Command::new(applied.join(name)).status().unwrap().code();
        assert_eq!((run("pg_start_wrapper"), run("pg_stop_wrapper")), (Some(3), Some(3)));
        let expected = "start_prim STOP ALONE start pg [it's $HOME; `id`]\n\
                        stop_prim ALONE STOP stop pg [it's $HOME; `id`]\n\
                        stop_prim force ALONE STOP stop pg [it's $HOME; `id`]\n";
        assert_eq!(fs::read_to_string(&said).unwrap(), expected);

        fs::create_dir_all(paths.module_run(&module)).unwrap();
        fs::write(paths.heart_socket(&module), "").unwrap();
        assert_eq!(run("pg_start_wrapper"), Some(1), "the module runs");
        assert_eq!(fs::read_to_string(&said).unwrap(), expected);
    }

    #[test]
    fn a_light_module_is_up_and_has_no_primary() {
        assert!(start(Mode::Light).contains("for start in start_both; do"));
        assert!(start(Mode::Light).contains("STOP UP start") && stop(Mode::Light).contains("force UP STOP stop"));
    }

    fn config(mode: &str) -> ModuleConfig {
        let text = format!(
            r#"<safe><service mode="{mode}"><heart><heartbeat name="default"/></heart><user/></service></safe>"#
        );
        hf_config::parse_module(&text, "userconfig.xml", "pg", None, &|_| None).unwrap()
    }
}
