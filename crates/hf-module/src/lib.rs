//! State machines of modules: what states there are, which changes between them are legal and why, which steps a change
//! consists of.
//!
//! - [`Place`] is a state with its colour, [`Door`] the only way from one place to another: each kind of module has a table of
//!   legal changes ([`legal`]).
//! - [`Plan`] is the sequence of steps that a change consists of. What a plan contains depends upon the state that is left or
//!   entered, and UP belongs to light and farm modules alone: that is why the plans common to all kinds need not know the kind
//!   (docs/design/0013-one-heart-three-modes.md).
//! - [`Part`] says which start and stop scripts belong to which state, and [`automaton`] in which order they are called.
//! - [`mirror`] and [`farm`] (which light modules are like) hold what only one kind has: its table and its own plans.

pub mod automaton;
pub mod farm;
pub mod mirror;
mod place;
mod plan;
mod script;

pub use automaton::Part;
pub use place::{Door, Illegal, Passage, Place, legal};
pub use plan::{Goal, Plan, Step};
pub use script::arguments;
