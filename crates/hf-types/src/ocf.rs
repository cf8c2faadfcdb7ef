use serde::{Deserialize, Serialize};

/// An agent of a module as it is called, with every time filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OcfCall {
    /// `prim`, `second` or `both`.
    pub class: String,
    pub ident: String,
    pub provider: String,
    pub kind: String,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub start_timeout_ms: u64,
    pub stop_timeout_ms: u64,
    pub parameters: Vec<(String, String)>,
}
