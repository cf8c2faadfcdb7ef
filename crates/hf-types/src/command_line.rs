use crate::one_line;
use serde::{Deserialize, Serialize};

/// One entry of the commands log (reference 004, 10.9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Wall clock, microseconds since 1970 UTC.
    pub at_us: i64,
    /// `safekit` for a command, `cluster` for what was noticed of other nodes, empty at a command's end.
    pub kind: String,
    /// None where it is about the whole node.
    pub module: Option<String>,
    /// The process that commands: the same at the beginning and at the end. 0: the daemon itself.
    pub pid: u32,
    /// `START`, `END`, or the level of a message.
    pub what: String,
    /// The command's words without secrets; at its end its exit code; or a message.
    pub text: String,
}

impl CommandLine {
    /// The reference's layout, which scripts take apart at the bars: an empty field is one blank. `time` is `at_us` in the
    /// reader's time zone.
    pub fn shown(&self, time: &str) -> String {
        let pid = self.pid.to_string();
        let fields = [self.kind.as_str(), self.module.as_deref().unwrap_or_default(), &pid, &self.what];
        let fields =
            fields.map(one_line).map(|field| if field.is_empty() { " |".into() } else { format!(" {field} |") });
        format!("| {time} |{} {}\n", fields.concat(), one_line(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_layout() {
        let line = |kind: &str, module: Option<&str>, what: &str, text: &str| CommandLine {
            at_us: 0,
            kind: kind.to_owned(),
            module: module.map(str::to_owned),
            pid: 6883,
            what: what.to_owned(),
            text: text.to_owned(),
        };
        let time = "2021-07-27 14:37:33.205122";
        let start = line("safekit", Some("mirror"), "START", "config -m mirror").shown(time);
        assert_eq!(start, "| 2021-07-27 14:37:33.205122 | safekit | mirror | 6883 | START | config -m mirror\n");
        assert_eq!(line("", None, "END", "0").shown(time), "| 2021-07-27 14:37:33.205122 | | | 6883 | END | 0\n");
        assert_eq!(line("a\n| b", None, "E", "c\n").shown("t"), "| t | a\u{fffd}| b | | 6883 | E | c\u{fffd}\n");
    }
}
