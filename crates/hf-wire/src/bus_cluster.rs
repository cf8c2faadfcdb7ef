//! What commands ask of the daemon about the cluster, beside `cluster config` and `cluster confinfo`.

use hf_types::{ModuleName, NodeName};
use serde::{Deserialize, Serialize};

/// The verbs of `cluster` (reference 004, 9.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum ClusterOrder {
    /// `confcheck FILE`: the file's text is checked, nothing is applied.
    Confcheck { file: String, xml: String },
    /// `deconfig`: configuration and key go.
    Deconfig,
    /// `genkey`: another key for the present configuration.
    Genkey,
    /// `delkey --insecure-plaintext`: no key.
    Delkey,
    /// `resolve`: names are looked up again.
    Resolve,
    /// `state`: which modules are configured on which node, and how.
    State,
}

/// Where the key of a new cluster configuration comes from.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", content = "text", rename_all = "snake_case")]
pub enum ClusterKeySource {
    /// It is drawn anew.
    #[default]
    Fresh,
    /// The text of a `cluster.key`, as a `cluster.zip` has it.
    Given(String),
    /// There is none: everybody can read and forge what the nodes say.
    InsecurePlaintext,
    /// The one that is there stays (only the lock is changed).
    Keep,
}

/// Never shows the key.
impl std::fmt::Debug for ClusterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ClusterKeySource::Fresh => "Fresh",
            ClusterKeySource::Given(_) => "Given(hidden)",
            ClusterKeySource::InsecurePlaintext => "InsecurePlaintext",
            ClusterKeySource::Keep => "Keep",
        })
    }
}

/// One line of `cluster state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterModule {
    pub node: NodeName,
    pub module: ModuleName,
    /// `mirror`.
    pub mode: String,
    pub id: u32,
    /// When it was configured there last, seconds since 1970 UTC.
    pub applied_s: i64,
    /// Hex digest of its applied configuration.
    pub signature: String,
    /// False: as the node said last; it is not heard now.
    pub heard: bool,
}
