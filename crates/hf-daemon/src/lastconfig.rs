//! The last configurations that were applied, as packages that can be installed again (reference 004, 3.7).

use crate::modules::ModuleError;
use crate::time::local;
use hf_host::Paths;
use hf_host::files::{failed, make_dir, names_in};
use hf_types::ModuleName;
use std::path::PathBuf;

/// How many are kept of each module.
const KEPT: usize = 3;

/// Packs what was just applied, and removes the oldest beyond [`KEPT`]. `at_us`: now, microseconds since 1970 UTC.
pub fn keep(paths: &Paths, module: &ModuleName, at_us: i64) -> Result<(), ModuleError> {
    let dir = paths.last_configs();
    make_dir(&dir, 0o755)?;
    let file = dir.join(format!("{module}_{}.safe", local(at_us, "%Y-%m-%d_%H-%M-%S")));
    hf_package::pack(&paths.applied(module), &file)?;
    let all = kept(paths, module)?;
    for old in &all[..all.len().saturating_sub(KEPT)] {
        let old = PathBuf::from(old);
        std::fs::remove_file(&old).map_err(failed("remove", &old))?;
    }
    Ok(())
}

/// The packages that are kept, the oldest first.
pub fn kept(paths: &Paths, module: &ModuleName) -> Result<Vec<String>, ModuleError> {
    let dir = paths.last_configs();
    let mine = |name: &String| {
        let stamp = name.strip_prefix(module.as_str()).and_then(|rest| rest.strip_prefix('_'));
        let stamp = stamp.and_then(|rest| rest.strip_suffix(".safe"));
        stamp.is_some_and(|stamp| stamp.len() == 19 && stamp.chars().all(|c| c.is_ascii_digit() || "-_".contains(c)))
    };
    let names = names_in(&dir)?.into_iter().filter(mine);
    Ok(names.map(|name| dir.join(name).display().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_three_of_each_module_are_kept() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::new(place.path().join("safe"), place.path().join("var"));
        let names = ["pg", "pg_x"].map(|name| name.parse::<ModuleName>().expect("a name"));
        for module in &names {
            let conf = paths.applied(module).join("conf");
            std::fs::create_dir_all(&conf).expect("a directory");
            std::fs::write(conf.join("userconfig.xml"), "<safe/>").expect("a file");
        }
        for second in 0..5 {
            for module in &names {
                keep(&paths, module, second * 1_000_000).expect("it is kept");
            }
        }
        let of = kept(&paths, &names[0]).expect("a list");
        let last: Vec<&str> = of.iter().map(|name| &name[name.len() - 7..name.len() - 5]).collect();
        assert_eq!(last, ["02", "03", "04"]);
        assert!(of.iter().all(|name| !name.contains("pg_x")));
        assert_eq!(kept(&paths, &names[1]).expect("a list").len(), 3);
    }
}
