//! Which processes a `<proc>` means (reference 004, 13.9.3).

use crate::check_model::Proc;
use crate::module::Pattern;

/// Bytes of a command's name that the kernel keeps.
const NAME_MAX: usize = 15;

/// What a process has to be called, and called with.
///
/// A name, and `nameregex`, is compared with the whole name. `argregex` is searched for in the command line, as regexec does, because the
/// guide's own examples mean that: `/myrep/myfile` finds `vi /myrep/myfile`.
#[derive(Clone, Debug)]
pub struct Wanted {
    name: Name,
    command: Option<Pattern>,
}

#[derive(Clone, Debug)]
enum Name {
    Is(String),
    Matches(Pattern),
}

impl Wanted {
    /// Of the command's name, and of its arguments if they are given. The error says what is wrong with the expression.
    pub fn new(name: &str, arg_regex: Option<&str>) -> Result<Wanted, String> {
        let end = (0..=NAME_MAX.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        Ok(Wanted { name: Name::Is(name[..end].to_owned()), command: arg_regex.map(Pattern::anywhere).transpose()? })
    }

    /// Of a `<proc>`; no validated one is refused.
    pub fn of(proc: &Proc) -> Result<Wanted, String> {
        let mut wanted = Wanted::new(&proc.name, proc.arg_regex.as_deref())?;
        if let Some(regex) = &proc.name_regex {
            wanted.name = Name::Matches(Pattern::new(regex)?);
        }
        Ok(wanted)
    }

    /// Whether a process of this name may be meant.
    pub fn fits_name(&self, name: &str) -> bool {
        match &self.name {
            Name::Is(wanted) => wanted == name,
            Name::Matches(pattern) => pattern.matches(name),
        }
    }

    /// Whether the name says it all; else the command line is asked for.
    pub fn asks_for_command(&self) -> bool {
        self.command.is_some()
    }

    /// Whether a process with this command line, program and arguments with blanks between them, is meant if its name fits.
    pub fn fits_command(&self, command: &str) -> bool {
        self.command.as_ref().is_none_or(|pattern| pattern.matches(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_model::ProcAction;

    fn finds(arg_regex: &str, command: &str) -> bool {
        Wanted::new("vi", Some(arg_regex)).expect("an expression").fits_command(command)
    }

    #[test]
    fn the_guides_examples_find_the_editor() {
        for regex in [".*myfile.*", "/myrep/myfile.*", "/myrep/myfile"] {
            assert!(finds(regex, "vi /myrep/myfile"), "{regex}");
            assert!(!finds(regex, "vi /myrep/other"), "{regex}");
        }
        assert!(finds("^vi ", "vi x") && !finds("^vi ", "view vi x") && !finds("myfile$", "vi myfile2"));
        assert!(Wanted::new("vi", Some("(")).is_err());
    }

    #[test]
    fn a_name_is_a_whole_name_as_far_as_the_kernel_keeps_it() {
        let name = |name: &str| Wanted::new(name, None).expect("a name");
        assert!(name("vi").fits_name("vi") && !name("vi").fits_name("vim") && !name("vi").asks_for_command());
        assert!(name("a_very_long_command").fits_name("a_very_long_com"));
    }

    #[test]
    fn an_expression_for_names_takes_the_names_place() {
        let proc = Proc {
            name: "oracle".to_owned(),
            service: false,
            name_regex: Some("oracle_.*".to_owned()),
            arg_regex: None,
            at_least: Some(1),
            at_most: None,
            action: ProcAction::Restart,
            class: "prim".to_owned(),
            start_after_polls: 0,
            restart_services: Vec::new(),
        };
        let wanted = Wanted::of(&proc).expect("a pattern");
        assert!(wanted.fits_name("oracle_db1") && !wanted.fits_name("oracle") && !wanted.fits_name("my_oracle_db1"));
    }
}
