use hf_types::catalogue::Class;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Where something stood in the text, in bytes. It is no part of what the rule says: two spans are always equal.
#[derive(Clone, Copy, Debug, Default, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Span {
        Span { start: range.start, end: range.end }
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Range<usize> {
        span.start..span.end
    }
}

/// `label: if (condition) then action;`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub label: String,
    #[serde(skip)]
    pub place: Span,
    /// Its own `handle_time` in milliseconds; none: that of `<failover>`.
    pub handle_time_ms: Option<u64>,
    pub condition: Condition,
    pub action: Action,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Compare(Compare),
    /// Two conditions are worth the same (`equal`), or are not.
    Same {
        left: Box<Condition>,
        equal: bool,
        right: Box<Condition>,
    },
    Not(Box<Condition>),
    /// Two or more.
    And(Vec<Condition>),
    /// Two or more.
    Or(Vec<Condition>),
}

/// `tcp.id == down`. At most one side has a `*` or `?`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    pub left: Operand,
    /// `==`, else `!=`.
    pub equal: bool,
    pub right: Operand,
}

/// What can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operand {
    Resource(Reference),
    /// `cluster()`: whether any other node of the cluster is heard (reference 004, 13.6.4.4).
    Cluster,
    Word(Word),
}

/// The words that a resource is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    Init,
    Up,
    Down,
    Unknown,
    /// Of a setting.
    On,
    /// Of a setting.
    Off,
}

impl Word {
    /// Every word.
    pub const ALL: [Word; 6] = [Word::Init, Word::Up, Word::Down, Word::Unknown, Word::On, Word::Off];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Init => "init",
            Word::Up => "up",
            Word::Down => "down",
            Word::Unknown => "unknown",
            Word::On => "on",
            Word::Off => "off",
        }
    }
}

/// A resource, or all of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub side: Side,
    pub class: Class,
    pub id: Id,
    #[serde(skip)]
    pub place: Span,
}

/// On which node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    Local,
    /// The other node of a mirror.
    Remote,
}

/// Which resources of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Id {
    /// `*`: all of them.
    All,
    /// `?`: any one of them.
    Any,
    Name(String),
}

impl Reference {
    /// `*` and `?`.
    pub fn is_wild(&self) -> bool {
        matches!(self.id, Id::All | Id::Any)
    }

    /// Class and id, without the side; none for `*` and `?`.
    pub fn name(&self) -> Option<String> {
        match &self.id {
            Id::Name(id) => Some(format!("{}.{id}", self.class.as_str())),
            Id::All | Id::Any => None,
        }
    }
}

/// What is done about it. The order is that of strength: of several rules that hold, the strongest action counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Stop,
    /// `stopwait`, until no rule with `wait()` holds any more.
    Wait,
    Stopstart,
    Swap,
    Restart,
    /// Names the leaving of WAIT, which happens anyway when no rule with `wait()` holds.
    Wakeup,
    /// `resource = word` (reference 004, 13.6.4.4).
    Assign {
        resource: String,
        word: Word,
        #[serde(skip)]
        place: Span,
    },
}

impl Action {
    /// The word before the parentheses, as logs say it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::Stop => "stop",
            Action::Wait => "wait",
            Action::Stopstart => "stopstart",
            Action::Swap => "swap",
            Action::Restart => "restart",
            Action::Wakeup => "wakeup",
            Action::Assign { .. } => "assignment",
        }
    }

    /// The action of a word; none: there is no such action.
    pub fn of(word: &str) -> Option<Action> {
        let all = [Action::Stop, Action::Wait, Action::Stopstart, Action::Swap, Action::Restart, Action::Wakeup];
        all.into_iter().find(|action| action.as_str() == word)
    }

    /// The stronger, the smaller; none: it changes nothing of the module's state.
    pub fn rank(&self) -> Option<u8> {
        match self {
            Action::Stop => Some(0),
            Action::Wait => Some(1),
            Action::Stopstart => Some(2),
            Action::Swap => Some(3),
            Action::Restart => Some(4),
            Action::Wakeup | Action::Assign { .. } => None,
        }
    }
}

impl Condition {
    /// Calls `see` for every resource that is named.
    pub fn references<'a>(&'a self, see: &mut impl FnMut(&'a Reference)) {
        match self {
            Condition::Compare(compare) => {
                for operand in [&compare.left, &compare.right] {
                    if let Operand::Resource(reference) = operand {
                        see(reference);
                    }
                }
            }
            Condition::Same { left, right, .. } => {
                left.references(see);
                right.references(see);
            }
            Condition::Not(inner) => inner.references(see),
            Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| part.references(see)),
        }
    }
}
