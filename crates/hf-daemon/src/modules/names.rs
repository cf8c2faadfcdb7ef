//! Names of virtual addresses: looked up when a configuration is applied, kept beside it, looked up again on demand, as the names in
//! cluster.xml are.

use super::ModuleError;
use hf_config::Addresses;
use hf_host::Paths;
use hf_host::cluster::look_up_name;
use hf_host::files::FileError;
use hf_host::module::{keep_names, kept_name, kept_names};
use hf_types::ModuleName;
use std::cell::RefCell;
use std::net::IpAddr;
use std::path::Path;

/// Knows what names stand for.
pub(super) trait Names {
    /// The address of a name, else why there is none.
    fn address_of(&self, name: &str) -> Result<IpAddr, String>;
}

/// Names as they were looked up when the configuration was applied.
pub(super) struct Kept(Addresses);

impl Kept {
    pub(super) fn of(applied: &Path) -> Result<Kept, FileError> {
        Ok(Kept(kept_names(applied)?))
    }
}

impl Names for Kept {
    fn address_of(&self, name: &str) -> Result<IpAddr, String> {
        kept_name(&self.0, name)
    }
}

/// Names that are looked up now. One that has no address now has the one that it had: a name server that is away changes nothing.
pub(super) struct LookedUp {
    before: Addresses,
    found: RefCell<Addresses>,
}

impl LookedUp {
    pub(super) fn beside(paths: &Paths, module: &ModuleName) -> Result<LookedUp, FileError> {
        Ok(LookedUp { before: kept_names(&paths.applied(module))?, found: RefCell::default() })
    }

    /// Keeps what was found beside a configuration.
    pub(super) fn keep(&self, applied: &Path) -> Result<(), FileError> {
        let found = self.found.borrow();
        if found.is_empty() { Ok(()) } else { keep_names(applied, &found) }
    }
}

impl Names for LookedUp {
    fn address_of(&self, name: &str) -> Result<IpAddr, String> {
        let known = self.found.borrow().get(name);
        let address = match (known, look_up_name(name)) {
            (Some(known), _) => known,
            (None, Ok(now)) => now,
            (None, Err(why)) => self.before.get(name).ok_or_else(|| why.to_string())?,
        };
        self.found.borrow_mut().put(name, address);
        Ok(address)
    }
}

/// What looking up again brought for one name of a module.
#[derive(Debug, PartialEq, Eq)]
pub struct NameNews {
    pub module: ModuleName,
    pub name: String,
    pub before: IpAddr,
    /// The address now, else why there is none; then the one from before stays.
    pub now: Result<IpAddr, String>,
}

/// Looks up the names of every applied module again, and keeps what was found for modules that don't run. News only.
pub fn look_up_again(paths: &Paths, running: &dyn Fn(&ModuleName) -> bool) -> Result<Vec<NameNews>, ModuleError> {
    let mut news = Vec::new();
    for module in super::names(paths)? {
        let applied = paths.applied(&module);
        let mut kept = kept_names(&applied)?;
        let before: Vec<(String, IpAddr)> = kept.iter().map(|(name, address)| (name.to_owned(), address)).collect();
        let mut changed = false;
        for (name, before) in before {
            let now = look_up_name(&name).map_err(|why| why.to_string());
            if now == Ok(before) {
                continue;
            }
            if let (Ok(now), false) = (&now, running(&module)) {
                kept.put(&name, *now);
                changed = true;
            }
            news.push(NameNews { module: module.clone(), name, before, now });
        }
        if changed {
            keep_names(&applied, &kept)?;
        }
    }
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_first_stays_for_one_check() {
        let mut before = Addresses::default();
        before.put("nobody.invalid", IpAddr::from([10, 0, 0, 9]));
        let names = LookedUp { before, found: RefCell::default() };
        // ".invalid" never has an address (RFC 2606).
        assert_eq!(names.address_of("nobody.invalid"), Ok(IpAddr::from([10, 0, 0, 9])));
        assert!(names.address_of("another.invalid").is_err_and(|why| why.contains("another.invalid")));
        let place = tempfile::tempdir().unwrap();
        names.keep(place.path()).unwrap();
        let kept = Kept::of(place.path()).unwrap();
        assert_eq!(kept.address_of("nobody.invalid"), Ok(IpAddr::from([10, 0, 0, 9])));
        assert!(kept.address_of("another.invalid").is_err_and(|why| why.contains("holdfast config")));
    }
}
