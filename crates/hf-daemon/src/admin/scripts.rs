//! The scripts of a module that belong to commands (reference 004, 14.1.2): config, deconfig, confcheck, state, level.

use super::{Admin, Failure, Replies, blocking};
use crate::load::load;
use hf_config::User;
use hf_exec::{ScriptSpec, run as run_script_file};
use hf_host::environment;
use hf_types::{ModuleName, ModuleState, Script, ScriptOutcome};
use hf_wire::bus::Reply;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long such a script may take: somebody waits for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is shown of its output, in bytes.
const SHOWN_MAX: usize = 64 * 1024;

/// What a script said, and how it ended.
struct Said {
    outcome: ScriptOutcome,
    text: String,
}

impl Admin {
    /// `state -v`, `level`: what the module's script says. Nothing if it has none.
    pub(super) async fn ask_script(&self, module: ModuleName, script: Script) -> Replies {
        if !matches!(script, Script::State | Script::Level) {
            return Err(Failure::new(format!(
                "the script {script} belongs to the states of the module, not to a command"
            )));
        }
        let bin = self.paths.user_bin(&module);
        let said = self.run_script(&module, script, &bin).await?;
        let replies = finish(script, said, "")?;
        let texts = replies.into_iter().map(|reply| match reply {
            Reply::Progress { text } => Reply::Said { text },
            other => other,
        });
        Ok(texts.collect())
    }

    /// Runs the script of a command from `bin`, if it is there. `done` is what holds although the script failed.
    pub(super) async fn follow_with_script(
        &self,
        module: &ModuleName,
        script: Script,
        bin: &Path,
        done: &str,
    ) -> Replies {
        let said = self.run_script(module, script, bin).await?;
        finish(script, said, done)
    }

    /// `confcheck`: script and variables are the edited ones, as all that is checked.
    pub(super) async fn edited_confcheck(&self, module: &ModuleName, user: Option<&User>) -> Replies {
        let bin = self.paths.edited(module).join("bin");
        finish(Script::Confcheck, self.run_script_for(module, Script::Confcheck, &bin, user).await?, "")
    }

    async fn run_script(&self, module: &ModuleName, script: Script, bin: &Path) -> Result<Said, Failure> {
        let user = self.user_of(module).await?;
        self.run_script_for(module, script, bin, user.as_ref()).await
    }

    async fn run_script_for(
        &self,
        module: &ModuleName,
        script: Script,
        bin: &Path,
        user: Option<&User>,
    ) -> Result<Said, Failure> {
        let look = self.look().await?;
        let own = look.status.modules.iter().find(|status| status.module == *module);
        let state = own.map_or(ModuleState::Stop, |status| status.state).as_str().to_owned();
        let mut env = environment::of_scripts(&self.paths, module, user);
        for (name, value) in &mut env {
            if name == "SAFEUSERBIN" {
                *value = bin.to_string_lossy().into_owned();
            }
        }
        let output = self.output_file(module, script)?;
        let spec = ScriptSpec {
            path: bin.join(script.as_str()),
            args: vec![state.clone(), state, script.as_str().to_owned()],
            env,
            timeout: Some(PATIENCE),
            log_file: Some(output.clone()),
            ..ScriptSpec::default()
        };
        let outcome = run_script_file(&spec).await.outcome;
        let text = std::fs::read(&output).map(|bytes| shown(&bytes)).unwrap_or_default();
        hf_host::files::remove_if_there(&output)
            .map_err(|error| Failure::new(format!("{} can't be removed: {error}", output.display())))?;
        Ok(Said { outcome, text })
    }

    /// `<user>` as it is applied.
    async fn user_of(&self, module: &ModuleName) -> Result<Option<User>, Failure> {
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let loaded = blocking(move || load(&paths, given)).await?;
        let applied = loaded.modules.into_iter().find(|(name, _)| name == module);
        Ok(applied.and_then(|(_, configured)| configured.config.user))
    }

    /// Where the script's output goes until it has ended; nothing of an earlier one is left in it.
    fn output_file(&self, module: &ModuleName, script: Script) -> Result<PathBuf, Failure> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let dir = self.paths.module_run(module);
        hf_host::files::make_dir(&dir, 0o750).map_err(|error| Failure::new(hf_host::files::with_causes(&error)))?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = dir.join(format!("{script}.{}-{count}.out", std::process::id()));
        hf_host::files::remove_if_there(&file)
            .map_err(|error| Failure::new(format!("{} can't be removed: {error}", file.display())))?;
        Ok(file)
    }
}

/// Without the line that says what was run.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_MAX)]).into_owned();
    text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.trim_end().to_owned())
}

fn finish(script: Script, said: Said, done: &str) -> Replies {
    let Said { outcome, text } = said;
    if outcome.is_success() {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Reply::Progress { text }] });
    }
    let mut message = format!("{done}{}", hf_types::Event::ScriptEnded(script, outcome));
    if !text.is_empty() {
        message.push_str(&format!("; it said:\n{text}"));
    }
    Err(Failure::new(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_not_shown() {
        assert_eq!(shown(b"----- 2026-11-20 10:00:00 level STOP STOP level -----\nversion 3\n\n"), "version 3");
        assert_eq!(shown(b""), "");
    }

    #[test]
    fn a_failure_says_what_holds_all_the_same() {
        let said = Said { outcome: ScriptOutcome::Exited(3), text: "no such database".to_owned() };
        let failure =
            finish(Script::Config, said, "The configuration is applied, but: ").err().map(|failure| failure.message);
        let expected =
            "The configuration is applied, but: Script config ended with exit code 3; it said:\nno such database";
        assert_eq!(failure.as_deref(), Some(expected));
        let missing = Said { outcome: ScriptOutcome::Missing, text: String::new() };
        assert!(finish(Script::Config, missing, "").is_ok_and(|replies| replies.is_empty()));
    }
}
