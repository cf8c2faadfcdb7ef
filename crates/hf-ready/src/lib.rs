//! The process that tells load balancers and other nodes which modules are ready here (reference 004, 13.5.3 and 13.16):
//! `GET /var/modules/AM/ready.txt` and `GET /health` on port 9010, and nothing else.
//!
//! What strangers send is read by a process that can do nothing: it is `nobody`, sees no files and no network but the socket that it
//! was given, and knows no more than which modules are ready. The daemon tells it that over a pipe ([`Table`]); when the daemon says
//! nothing for a while, nothing is called ready any more, and when the pipe ends the process does, too.

mod answer;
mod request;
mod rights;
mod serve;
mod table;

pub use rights::run_as_nobody;
pub use serve::{Limits, serve};
pub use table::{BadTable, Table};
