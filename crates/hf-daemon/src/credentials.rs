use nix::unistd::{Gid, Group, Uid, User, chown, getgrouplist};
use std::ffi::CString;
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// Members of this group may command like root (installing a module runs its scripts as root).
const GROUP: &str = "holdfast";

/// Who is at the other end, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// 0 where the kernel doesn't say.
    pub pid: u32,
    uid: u32,
    user: Option<String>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => f.write_str(user),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// Why a connection gets no answers.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0} may not command Holdfast")]
    NotAllowed(Client),
    #[error("the kernel doesn't say who calls")]
    Unknown(#[source] io::Error),
}

/// Judges a connection by the kernel's word, not only by the socket's mode.
pub fn of(stream: &UnixStream) -> Result<Client, Refused> {
    let credentials = stream.peer_cred().map_err(Refused::Unknown)?;
    let uid = credentials.uid();
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let group = group();
    let allowed = uid == 0
        || group.is_some_and(|group| {
            credentials.gid() == group.as_raw() || user.as_ref().is_some_and(|user| is_member(user, group))
        });
    let pid = credentials.pid().map_or(0, i32::cast_unsigned);
    let client = Client { pid, uid, user: user.map(|user| user.name) };
    if allowed { Ok(client) } else { Err(Refused::NotAllowed(client)) }
}

fn group() -> Option<Gid> {
    let group = Group::from_name(GROUP).ok().flatten();
    group.map(|group| group.gid)
}

fn is_member(user: &User, group: Gid) -> bool {
    CString::new(user.name.as_str())
        .ok()
        .and_then(|name| getgrouplist(&name, user.gid).ok())
        .is_some_and(|groups| groups.contains(&group))
}

/// Listens at `path` for root and the group. Only one daemon runs (its pid file says so), so a socket that is there is left over.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    hf_host::files::remove_if_there(path)?;
    let listener = UnixListener::bind(path)?;
    if let Some(group) = group() {
        chown(path, None, Some(group))?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}
