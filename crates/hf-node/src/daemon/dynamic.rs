//! `config` on a module that may be running: what becomes of the changes (reference 004, 9.6 and the introduction of 13).

use hf_config::Change;
use hf_types::{Colour, ModuleName, ModuleState};

/// What `config` would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    pub changes: Vec<Change>,
    /// Scripts that are new, gone, or others.
    pub scripts: Vec<String>,
    /// Why the heart that runs can't go on with it, whatever the attributes.
    pub unfit: Vec<String>,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The module is stopped: everything takes effect at its next start.
    AtTheStart,
    /// The module runs, and goes on with the new configuration.
    Now,
    /// Nothing is applied; the sentence says why, the hint what to do.
    Refused { message: String, hint: String },
}

/// `place`: where the module is on this node while its heart lives.
pub fn judge(module: &ModuleName, place: Option<(ModuleState, Colour)>, proposal: &Proposal) -> Verdict {
    let Some((state, colour)) = place else {
        return Verdict::AtTheStart;
    };
    let blocking = proposal.blocking();
    if !blocking.is_empty() {
        let message = format!(
            "the module {module} runs here ({state}), and some of what changed needs a stop: {}",
            blocking.join("; ")
        );
        let hint = match state {
            ModuleState::Up => format!(
                "take that out, or: holdfast stop -m {module}; holdfast config -m {module}; holdfast start -m {module}"
            ),
            _ => format!(
                "take that out, or stop the module on both nodes, the secondary first: holdfast stop -m {module}; then here and there: \
                 holdfast config -m {module}; holdfast start -m {module}"
            ),
        };
        return Verdict::Refused { message, hint };
    }
    match (state, colour) {
        (ModuleState::Alone | ModuleState::Up, Colour::Green) | (ModuleState::Wait, Colour::Red) => Verdict::Now,
        (ModuleState::Up, _) => Verdict::Refused {
            message: format!("the module {module} is UP ({colour}) here: its scripts run"),
            hint: format!("once it is green (holdfast waitstate -m {module} UP): holdfast config -m {module}"),
        },
        _ => Verdict::Refused {
            message: format!(
                "the module {module} is {state} ({colour}) here: while it runs, a configuration is applied only where it is ALONE (green) or \
                 WAIT (red)"
            ),
            hint: format!(
                "nothing in it needs a stop of the application: holdfast stop -m {module} on the secondary, holdfast config -m {module} on both \
                 nodes, then holdfast start -m {module} on the secondary"
            ),
        },
    }
}

impl Proposal {
    /// What needs a stop.
    fn blocking(&self) -> Vec<String> {
        let fixed = self.changes.iter().filter(|change| !change.dynamic).map(ToString::to_string);
        fixed.chain(self.unfit.iter().cloned()).collect()
    }

    pub fn is_empty(&self) -> bool {
        *self == Proposal::default()
    }

    /// For the administrator: every change, and what it does.
    pub fn told(&self, verdict: &Verdict) -> Vec<String> {
        if self.is_empty() {
            return vec!["Nothing differs from the configuration that is applied.".to_owned()];
        }
        let needs = |change: &Change| if change.dynamic { "" } else { " (needs a stop)" };
        let mut lines: Vec<String> = self.changes.iter().map(|change| format!("{change}{}", needs(change))).collect();
        if !self.scripts.is_empty() {
            lines.push(format!("scripts: {}", self.scripts.join(", ")));
        }
        lines.extend(self.unfit.iter().map(|why| format!("{why} (needs a stop)")));
        lines.push(match verdict {
            Verdict::AtTheStart => "The module is stopped here: it takes effect at its next start.".to_owned(),
            Verdict::Now => format!("The module goes on running: {}.", self.effects().join("; ")),
            Verdict::Refused { .. } => {
                "Nothing of it can be applied now: the application would have to be stopped.".to_owned()
            }
        });
        lines
    }

    /// What it does to a module that runs.
    fn effects(&self) -> Vec<&'static str> {
        let touches = |tags: &[&str]| self.changes.iter().any(|change| tags.contains(&change.tag));
        let mut effects = vec!["the application isn't touched"];
        if touches(&["heart", "heartbeat"]) {
            effects.push("heartbeats change at once, so apply the same on the other node");
        }
        if touches(&["rfs", "flow"]) || touches(&["heartbeat"]) {
            effects.push("the replication goes by it from its next connection on");
        }
        if touches(&["user", "var"]) || !self.scripts.is_empty() {
            effects.push("scripts and their settings are used from the next call on");
        }
        if touches(&["service"]) {
            effects.push("what <service> says holds at once, boot at the next boot");
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(tag: &'static str, dynamic: bool) -> Change {
        let (before, after) = (Some("1".to_owned()), Some("2".to_owned()));
        Change { tag, which: String::new(), attribute: Some("x"), before, after, dynamic }
    }

    fn proposal(changes: &[Change]) -> Proposal {
        Proposal { changes: changes.to_vec(), ..Proposal::default() }
    }

    #[test]
    fn only_alone_green_and_wait_red_take_a_configuration_while_they_run() {
        use ModuleState::{Alone, Prim, Second, Stop, Wait};
        let (module, soft) = ("m".parse().unwrap(), proposal(&[change("user", true)]));
        assert_eq!(judge(&module, None, &proposal(&[change("vip", false)])), Verdict::AtTheStart);
        for state in [Alone, Prim, Second, Stop, Wait] {
            for colour in [Colour::Green, Colour::Magenta, Colour::Red] {
                let applies = matches!((state, colour), (Alone, Colour::Green) | (Wait, Colour::Red));
                let verdict = judge(&module, Some((state, colour)), &soft);
                assert_eq!(verdict == Verdict::Now, applies, "{state} {colour}: {verdict:?}");
            }
        }
    }

    #[test]
    fn everything_that_needs_a_stop_is_named() {
        let module = "m".parse().unwrap();
        let mut both = proposal(&[change("user", true), change("vip", false), change("replicated", false)]);
        both.unfit.push("its two nodes are others".to_owned());
        for place in [(ModuleState::Alone, Colour::Green), (ModuleState::Prim, Colour::Green)] {
            let Verdict::Refused { message, hint } = judge(&module, Some(place), &both) else {
                panic!("it is applied in {place:?}")
            };
            assert!(!message.contains("<user>"), "{message}");
            for part in ["<vip> x: 1 -> 2", "<replicated> x", "its two nodes are others"] {
                assert!(message.contains(part), "{message}");
            }
            assert!(hint.contains("holdfast stop -m m"), "{hint}");
        }
    }

    #[test]
    fn what_it_does_is_said_before() {
        let told = |proposal: &Proposal, verdict: &Verdict| proposal.told(verdict).join("\n");
        let scripts = Proposal { scripts: vec!["start_prim".to_owned()], ..proposal(&[change("heartbeat", true)]) };
        let text = told(&scripts, &Verdict::Now);
        assert!(text.contains("scripts: start_prim") && text.contains("apply the same on the other node"), "{text}");
        assert!(text.contains("the application isn't touched"), "{text}");
        let fixed = told(&proposal(&[change("vip", false)]), &Verdict::AtTheStart);
        assert!(fixed.contains("<vip> x: 1 -> 2 (needs a stop)") && fixed.contains("next start"), "{fixed}");
        assert!(told(&Proposal::default(), &Verdict::Now).contains("Nothing differs"));
    }
}
