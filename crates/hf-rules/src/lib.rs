//! The language of failover rules (reference 004, 13.18): text in, rules or problems out; rules and resources in, a verdict out.
//!
//! ```text
//! tcp_failure: if (tcp.? == down) then restart();
//! ```
//!
//! - [`parse`] reads the text; [`check`] asks whether what the rules name is there. Both say all that is wrong at once,
//!   each with the place, and a way out where there is one.
//! - [`truth`] says what a condition is worth now. There are three answers, because a resource that was not measured yet
//!   decides nothing, neither as it stands nor negated.
//! - [`Watch`] remembers since when each rule holds: an action follows when its condition has held for `handle_time`.
//!
//! The grammar, and what was decided where the reference leaves a question open, is in docs/internals/rules.md.
//! Hostile text costs time in proportion to its size, bounded by [`TEXT_MAX`], [`RULES_MAX`] and [`DEPTH_MAX`].

mod check;
mod lexer;
mod parser;
mod print;
mod problem;
mod rule;
mod set;
mod truth;
mod watch;

pub use check::{Known, check};
pub use parser::{DEPTH_MAX, Parsed, RULES_MAX, TEXT_MAX, parse};
pub use problem::{Kind, Problem};
pub use rule::{Action, Compare, Condition, Id, Operand, Reference, Rule, Side, Span, Word};
pub use set::{Origin, RuleSet};
pub use truth::{Facts, Truth, truth};
pub use watch::{Verdict, Watch};
