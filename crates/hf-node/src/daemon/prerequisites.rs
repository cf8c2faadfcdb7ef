//! What must be the same on both nodes of a module, or enough, before it is configured (reference 004, 2.2 and 13.6).

use hf_types::NodeName;
use hf_wire::inquiry::{Answer, Owner, OwnerThere, Question};

/// Clocks that differ by less are as good as equal, in microseconds.
const CLOCKS_MAY_DIFFER_US: i64 = 2_000_000;

/// Something that is not as it should be: a sentence with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The module can't work rightly like this.
    Error(String),
    Warning(String),
}

impl Finding {
    pub fn text(&self) -> &str {
        match self {
            Finding::Error(text) | Finding::Warning(text) => text,
        }
    }
}

/// What was asked, and how much lies in each of the directories here, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub question: Question,
    pub bytes: Vec<u64>,
    /// Wall clock here when it was asked, and when the answer came, microseconds since 1970 UTC.
    pub sent_us: i64,
    pub answered_us: i64,
}

/// What another node's answer means.
pub fn compare_nodes(peer: &NodeName, asked: &Asked, answer: &Answer) -> Vec<Finding> {
    let question = &asked.question;
    let mut found = owners("user", "usermod -u", peer, &question.users, &answer.users);
    found.extend(owners("group", "groupmod -g", peer, &question.groups, &answer.groups));
    found.extend(clocks(peer, asked, answer));
    for ((dir, bytes), room) in question.dirs.iter().zip(&asked.bytes).zip(&answer.dirs) {
        // What is there already may be the same data.
        if let Some(free) = room.free.filter(|free| !room.used && free < bytes) {
            found.push(Finding::Warning(format!(
                "{} holds {} here, and {peer} has only {} free for it: make room there before the module is started",
                dir.dir,
                size(*bytes),
                size(free)
            )));
        }
    }
    found
}

fn owners(kind: &str, command: &str, peer: &NodeName, here: &[Owner], there: &[OwnerThere]) -> Vec<Finding> {
    let pairs = here.iter().zip(there);
    pairs.filter_map(|(here, there)| owner(kind, command, peer, here, there)).collect()
}

/// Files carry numbers: a number has to mean the same on both nodes.
fn owner(kind: &str, command: &str, peer: &NodeName, here: &Owner, there: &OwnerThere) -> Option<Finding> {
    let id = here.id;
    match (&here.name, &there.name) {
        (Some(name), Some(other)) if name != other => Some(Finding::Error(format!(
            "files in the replicated directories belong to the {kind} {name} ({id}), and on {peer} {id} is {other}: give {name} the same \
             number on both nodes ('{command}', with the files of that {kind}), or give those files another owner"
        ))),
        (Some(name), None) => Some(match there.id {
            Some(number) => Finding::Error(format!(
                "files in the replicated directories belong to the {kind} {name} ({id}), and on {peer} {name} is {number}: give it the \
                 same number on both nodes ('{command}', with the files of that {kind})"
            )),
            None => Finding::Warning(format!(
                "files in the replicated directories belong to the {kind} {name} ({id}), and {peer} has no such {kind}: make it there with \
                 the same number before the module is started"
            )),
        }),
        (None, Some(other)) => Some(Finding::Warning(format!(
            "files in the replicated directories belong to the {kind} {id}, which has no name here; on {peer} it is {other}"
        ))),
        _ => None,
    }
}

/// Against the middle of question and answer; what they took may be the difference.
fn clocks(peer: &NodeName, asked: &Asked, answer: &Answer) -> Option<Finding> {
    let took = asked.answered_us.saturating_sub(asked.sent_us).max(0);
    let ahead = answer.clock_us.saturating_sub(asked.sent_us.saturating_add(took / 2));
    if ahead.saturating_abs().saturating_sub(took / 2) <= CLOCKS_MAY_DIFFER_US {
        return None;
    }
    let seconds = ahead.unsigned_abs() / 1_000_000;
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    Some(Finding::Warning(format!(
        "the clock of {peer} is {seconds} s {way} this node's: nothing is decided by clocks, but logs and times of files can't be compared; let \
         both follow a time server ('timedatectl set-ntp true')"
    )))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_wire::inquiry::{Dir, Room};

    fn user(id: u32, name: Option<&str>) -> Owner {
        Owner { id, name: name.map(str::to_owned) }
    }

    fn there(name: Option<&str>, id: Option<u32>) -> OwnerThere {
        OwnerThere { name: name.map(str::to_owned), id }
    }

    fn found(asked: &Asked, answer: &Answer) -> Vec<Finding> {
        compare_nodes(&"node2".parse().unwrap(), asked, answer)
    }

    fn of_users(here: Owner, at_peer: OwnerThere) -> Option<Finding> {
        let question = Question { users: vec![here], ..Question::default() };
        let answer = Answer { users: vec![at_peer], ..Answer::default() };
        let mut all = found(&Asked { question, ..Asked::default() }, &answer);
        assert!(all.len() < 2, "{all:?}");
        all.pop()
    }

    #[test]
    fn a_number_means_the_same_on_both_nodes() {
        let postgres = || user(105, Some("postgres"));
        assert_eq!(of_users(postgres(), there(Some("postgres"), Some(105))), None);
        assert_eq!(of_users(user(4711, None), there(None, None)), None, "a number without a name on either");
        let Some(Finding::Error(text)) = of_users(postgres(), there(Some("redis"), Some(106))) else { panic!() };
        assert!(text.contains("postgres (105), and on node2 105 is redis") && text.contains("usermod -u"), "{text}");
        let Some(Finding::Error(text)) = of_users(postgres(), there(None, Some(106))) else { panic!() };
        assert!(text.contains("on node2 postgres is 106"), "{text}");
        let Some(Finding::Warning(text)) = of_users(postgres(), there(None, None)) else { panic!() };
        assert!(text.contains("node2 has no such user"), "{text}");
        let Some(Finding::Warning(text)) = of_users(user(105, None), there(Some("redis"), None)) else { panic!() };
        assert!(text.contains("has no name here; on node2 it is redis"), "{text}");
    }

    #[test]
    fn groups_are_looked_at_too() {
        let question = Question { groups: vec![user(50, Some("staff"))], ..Question::default() };
        let answer = Answer { groups: vec![there(Some("games"), None)], ..Answer::default() };
        let all = found(&Asked { question, ..Asked::default() }, &answer);
        assert!(matches!(&all[..], [Finding::Error(text)] if text.contains("groupmod -g")), "{all:?}");
    }

    #[test]
    fn clocks_are_compared_as_well_as_the_way_allows() {
        let second = 1_000_000;
        let at = |sent: i64, answered: i64, clock: i64| {
            let asked = Asked { sent_us: sent * second, answered_us: answered * second, ..Asked::default() };
            found(&asked, &Answer { clock_us: clock * second, ..Answer::default() }).pop()
        };
        assert_eq!(at(100, 100, 101), None);
        // It took 8 s: the clock there may be right.
        assert_eq!(at(100, 108, 109), None);
        let said = |found: Option<Finding>| found.expect("they differ").text().to_owned();
        assert!(said(at(100, 100, 225)).contains("node2 is 125 s ahead of this node's"));
        assert!(said(at(1000, 1000, 100)).contains("node2 is 900 s behind this node's"));
        // A clock that was set back meanwhile.
        assert_eq!(at(100, 90, 100), None);
    }

    #[test]
    fn there_must_be_room_for_what_is_not_there_yet() {
        let dir = Dir { dir: "/data".to_owned(), data: "/data_For".to_owned() };
        let asked = Asked {
            question: Question { dirs: vec![dir], ..Question::default() },
            bytes: vec![5 << 20],
            ..Asked::default()
        };
        let of = |used, free| found(&asked, &Answer { dirs: vec![Room { used, free }], ..Answer::default() });
        assert!(
            matches!(&of(false, Some(1 << 20))[..], [Finding::Warning(text)] if text.contains("holds 5 MB here, and node2 has only 1 MB"))
        );
        for (used, free) in [(true, Some(0)), (false, Some(5 << 20)), (false, None)] {
            assert_eq!(of(used, free), []);
        }
    }

    #[test]
    fn an_answer_that_is_too_short_means_nothing() {
        let question = Question { users: vec![user(1, Some("a"))], ..Question::default() };
        assert_eq!(found(&Asked { question, ..Asked::default() }, &Answer::default()), []);
    }
}
