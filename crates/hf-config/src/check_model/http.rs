//! What `<http>` says.

use serde::{Deserialize, Serialize};

use super::{CheckAction, Target, When};

/// `<http>`, which the reference doesn't have: a web service that answers as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// `ident`: the resource is `http.<ident>`.
    pub ident: String,
    pub when: When,
    /// `action`; none: the rules decide, `http_failure` among them.
    pub action: Option<CheckAction>,
    /// The machine: `<to addr>`, or that of `<to url>`.
    pub target: Target,
    /// `<to port>` or that of `<to url>`, default 80, with TLS 443.
    pub port: u16,
    /// Path and query, as they are asked for: printable ASCII with a slash at the beginning.
    pub path: String,
    /// With `https` or `secure="on"`.
    pub tls: Option<HttpTls>,
    /// `<to host>`: what the request names, and what the certificate has to be for; default the machine.
    pub host: Target,
    /// `<to status>`: first and last of each range that is good, default 200 to 299.
    pub status: Vec<(u16, u16)>,
    /// What the body has to have.
    pub body: Option<HttpBody>,
    /// `<to interval>` between two questions, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
    /// `<to timeout>` of the whole answer, bare numbers in seconds, default 5 s (1 s with `reaction="fast"`).
    pub timeout_ms: u64,
}

/// Whose certificates are good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTls {
    /// `ca`: the path of a file with certificates (PEM) of which one signed the server's; none: those of the machine.
    pub ca: Option<String>,
    /// `verify="off"`: any certificate is good.
    pub verify: bool,
}

/// What a body has to have, anywhere in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpBody {
    /// `body`.
    Text(String),
    /// `bodyregex`: a POSIX extended regular expression.
    Pattern(String),
}
