//! State machines of modules: what states there are, which changes between them are legal and why, which steps a change
//! consists of. [`mirror`] is the only kind of this slice; farm and light modules get the same files beside it.

pub mod mirror;
