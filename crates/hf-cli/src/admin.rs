//! Asking the daemon.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use hf_bus::{BusError, Connection, connect};
use hf_types::ModuleName;
use hf_wire::bus::{Reply, Request, Role};
use tokio::net::UnixStream;

use crate::args::Output;
use crate::error::CliError;
use crate::paths::Paths;
use crate::print;

/// The reference waits with five dots (004, 4.1.3).
const DOTS: u32 = 5;
/// A daemon that just starts listens well before these have passed.
const DOT_EVERY: Duration = Duration::from_millis(500);

/// Sends a request and gives the replies that carry something. What the daemon says on the way is printed.
pub(crate) async fn ask(request: Request, output: Output) -> Result<Vec<Reply>, CliError> {
    let mut replies = Vec::new();
    follow(request, output, |reply| {
        replies.push(reply);
        Ok(())
    })
    .await?;
    Ok(replies)
}

/// The same for replies that are shown as they come.
pub(crate) async fn follow(
    request: Request,
    output: Output,
    mut take: impl FnMut(Reply) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let paths = Paths::from_environment();
    let heart = module_of(&request).map(|module| paths.heart_socket(module));
    let mut connection = patiently_connect(&paths.admin_socket(), heart.as_deref()).await?;
    connection.send(&request).await?;
    loop {
        match connection.receive::<Reply>().await? {
            None => return Err(CliError::Unanswered),
            Some(Reply::Done) => return Ok(()),
            Some(Reply::Error { message, hint, exit_code }) => return Err(refused(message, hint, exit_code)),
            Some(Reply::Progress { text }) => print::progress(&text),
            Some(Reply::Insecure { text }) => {
                print::progress(&text);
                take(Reply::Insecure { text })?;
            }
            Some(Reply::Diagnostics { text, json }) => show_diagnostics(&text, &json, output)?,
            Some(reply) => take(reply)?,
        }
    }
}

/// Whether the answer said that the cluster has no key: `"insecure"` of `-o json`.
pub(crate) fn is_insecure(replies: &[Reply]) -> bool {
    replies.iter().any(|reply| matches!(reply, Reply::Insecure { .. }))
}

/// Sends a request that has no other answer than done or not.
pub(crate) async fn order(request: Request, output: Output) -> Result<(), CliError> {
    ask(request, output).await.map(drop)
}

fn refused(message: String, hint: Option<String>, exit_code: i32) -> CliError {
    // Zero would say that it was done.
    let exit_code = u8::try_from(exit_code).ok().filter(|code| *code != 0).unwrap_or(1);
    CliError::Refused { message, hint, exit_code }
}

fn show_diagnostics(text: &str, json: &serde_json::Value, output: Output) -> Result<(), CliError> {
    match output {
        Output::Json => print::json(json),
        Output::Text => {
            print::progress(text.trim_end());
            Ok(())
        }
    }
}

/// The module whose heart answers this too, while there is no daemon.
fn module_of(request: &Request) -> Option<&ModuleName> {
    match request {
        Request::Control { module, .. }
        | Request::Set { module, .. }
        | Request::Errd { module, .. }
        | Request::Print { module, .. } => Some(module),
        _ => None,
    }
}

async fn patiently_connect(socket: &Path, heart: Option<&Path>) -> Result<Connection<UnixStream>, CliError> {
    let mut dots = 0;
    loop {
        match connect(socket, Role::Command).await {
            Ok(connection) => {
                end_dots(dots);
                return Ok(connection);
            }
            Err(BusError::Connect { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                end_dots(dots);
                return Err(CliError::NotAllowed { path: socket.to_owned() });
            }
            Err(BusError::Connect { source, .. }) if is_absent(source.kind()) => {}
            Err(error) => {
                end_dots(dots);
                return Err(error.into());
            }
        }
        if let Some(heart) = heart
            && let Ok(connection) = connect(heart, Role::Command).await
        {
            end_dots(dots);
            return Ok(connection);
        }
        if dots == DOTS {
            end_dots(dots);
            return Err(CliError::NoDaemon);
        }
        print::note(if dots == 0 { "Waiting for safeadmin ." } else { "." });
        dots += 1;
        tokio::time::sleep(DOT_EVERY).await;
    }
}

fn end_dots(dots: u32) {
    if dots > 0 {
        print::note("\n");
    }
}

fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}
