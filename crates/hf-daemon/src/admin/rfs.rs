//! What a module's rfs answers itself (reference 004, 13.6.4.5, 13.6.4.6): passed on as it comes.

use super::{Admin, Failure, Replies};
use hf_bus::{BusError, Connection, connect};
use hf_types::ModuleName;
use hf_wire::bus::{Reply, RfsOrder, Role};
use tokio::net::UnixStream;

impl Admin {
    /// Passes an order on, and what rfs says until it has ended. An error of the result is one of the command's own connection: who asked is gone, and rfs
    /// learns it by the end of ours.
    pub(super) async fn ask_rfs(
        &self,
        module: &ModuleName,
        order: RfsOrder,
        command: &mut Connection<UnixStream>,
    ) -> Result<Replies, BusError> {
        if let Err(failure) = self.check_known(module) {
            return Ok(Err(failure));
        }
        let not_there = || {
            let message = format!("the module {module} has no replicated directories in use on this node");
            Failure::hinted(message, &format!("holdfast state -m {module}"))
        };
        let Ok(mut rfs) = connect(&self.paths.rfs_socket(module), Role::Daemon).await else {
            return Ok(Err(not_there()));
        };
        if rfs.send(&order).await.is_err() {
            return Ok(Err(not_there()));
        }
        loop {
            match rfs.receive::<Reply>().await {
                Ok(Some(Reply::Done)) => return Ok(Ok(Vec::new())),
                Ok(Some(Reply::Error { message, hint, .. })) => {
                    return Ok(Err(Failure { hint, ..Failure::new(message) }));
                }
                Ok(Some(reply)) => command.send(&reply).await?,
                Ok(None) | Err(_) => {
                    let message = "the replication process ended before it had answered";
                    return Ok(Err(Failure::hinted(message, &format!("holdfast log -m {module}"))));
                }
            }
        }
    }
}
