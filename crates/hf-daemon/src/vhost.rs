//! The files that set a virtual host name (reference 004, 13.8): one for each `<virtualhostname>`, written by `config`, read
//! by the module's scripts with `.` before they start and stop the application.

use hf_config::{HostNameWhen, VirtualHostName};
use hf_host::Paths;
use hf_host::files::{FileError, read_if_there, write_durably};
use std::path::{Path, PathBuf};

/// The first line of each. A file without it is somebody else's, and stays as it is.
const HEAD: &str = "# Written by 'holdfast config' for a <virtualhostname>: change userconfig.xml instead.\n";

/// Why there is no such file. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum VhostError {
    #[error("virtual host names need {library}, which is not there: install Holdfast again, or take <vhost> out")]
    NoLibrary { library: PathBuf },
    #[error("{path} is there and was not written by Holdfast: give another envfile to <virtualhostname>")]
    Taken { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Writes the files of a module; `bin` is where the relative ones go.
pub fn write_all(paths: &Paths, names: &[VirtualHostName], bin: &Path) -> Result<(), VhostError> {
    let library = paths.vhost_library();
    if !names.is_empty() && !library.is_file() {
        return Err(VhostError::NoLibrary { library });
    }
    for name in names {
        let path = bin.join(&name.envfile);
        if read_if_there(&path)?.is_some_and(|there| !there.starts_with(HEAD)) {
            return Err(VhostError::Taken { path });
        }
        write_durably(&path, text(name, &library).as_bytes(), 0o644)?;
    }
    Ok(())
}

/// For sh and its kin. Which script reads it says which role the node has or is about to have; whoever reads it elsewhere, by
/// hand for instance, wants the name.
fn text(name: &VirtualHostName, library: &Path) -> String {
    let others = match name.when {
        HostNameWhen::Prim => "*_second | *_sec | *_both | prestart | poststop | transition",
        HostNameWhen::Second => "*_prim | *_both | prestart | poststop | transition",
        HostNameWhen::Both => "prestart | poststop | transition",
    };
    // Neither can hold a quote: the name was checked, and the library's path is ours.
    let (name, library) = (&name.name, library.display());
    format!(
        "{HEAD}case \"${{0##*/}}\" in\n{others}) ;;\n*)\n    HOLDFAST_HOSTNAME='{name}'\n    case \":${{LD_PRELOAD-}}:\" in\n    \
         *:'{library}':*) ;;\n    *) LD_PRELOAD='{library}'\"${{LD_PRELOAD:+:$LD_PRELOAD}}\" ;;\n    esac\n    \
         export HOLDFAST_HOSTNAME LD_PRELOAD\n    ;;\nesac\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    struct Place {
        _dir: tempfile::TempDir,
        paths: Paths,
        bin: PathBuf,
    }

    #[test]
    fn an_added_file_is_known_as_such() {
        assert!(HEAD.starts_with(hf_host::module::ADDED_BY_CONFIG), "else the module seems to be changed for ever");
    }

    /// With something where the library belongs: the loader complains about it and goes on.
    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        let (library, bin) = (paths.vhost_library(), dir.path().join("bin"));
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(library, "").unwrap();
        Place { _dir: dir, paths, bin }
    }

    fn named(when: HostNameWhen) -> VirtualHostName {
        VirtualHostName { name: "virtualname".into(), envfile: "vhostenv".into(), when }
    }

    /// What a script of this name has in its environment after it read the file, twice.
    fn seen_by(place: &Place, script: &str) -> String {
        let path = place.bin.join(script);
        std::fs::write(&path, ". ./vhostenv; . ./vhostenv; echo \"$HOLDFAST_HOSTNAME $LD_PRELOAD\"\n").unwrap();
        let output = Command::new("sh").arg(&path).current_dir(&place.bin).env_remove("LD_PRELOAD").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_scripts_of_the_role_get_the_name() {
        let place = place();
        let with = format!("virtualname {}", place.paths.vhost_library().display());
        for (when, get_it, others) in [
            (
                HostNameWhen::Prim,
                vec!["start_prim", "stop_prim", "by_hand"],
                vec!["start_second", "start_both", "prestart"],
            ),
            (HostNameWhen::Second, vec!["start_second", "stop_sec"], vec!["start_prim", "stop_both", "transition"]),
            (HostNameWhen::Both, vec!["start_prim", "stop_second", "start_both"], vec!["poststop"]),
        ] {
            write_all(&place.paths, &[named(when)], &place.bin).unwrap();
            for script in get_it {
                assert_eq!(seen_by(&place, script), with, "{script} {when:?}");
            }
            for script in others {
                assert_eq!(seen_by(&place, script), "", "{script} {when:?}");
            }
        }
    }

    #[test]
    fn somebody_elses_file_stays() {
        let place = place();
        std::fs::write(place.bin.join("vhostenv"), "mine\n").unwrap();
        let error = write_all(&place.paths, &[named(HostNameWhen::Prim)], &place.bin).unwrap_err();
        assert!(matches!(error, VhostError::Taken { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(place.bin.join("vhostenv")).unwrap(), "mine\n");
    }

    #[test]
    fn without_the_library_there_is_no_such_name() {
        let place = place();
        std::fs::remove_file(place.paths.vhost_library()).unwrap();
        assert!(write_all(&place.paths, &[], &place.bin).is_ok());
        let error = write_all(&place.paths, &[named(HostNameWhen::Prim)], &place.bin).unwrap_err();
        assert!(matches!(error, VhostError::NoLibrary { .. }), "{error}");
    }
}
