use super::*;
use hf_exec::Identity;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::Instant;

struct Place {
    orphan: Orphan,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
    let module: ModuleName = "pg".parse().unwrap();
    for dir in [paths.module_run(&module), paths.user_var(&module), paths.applied(&module).join("bin")] {
        std::fs::create_dir_all(dir).unwrap();
    }
    Place { orphan: Orphan { paths, module, configured: None }, _dir: dir }
}

impl Place {
    /// A process that the pid file names.
    fn process(&self, name: &str) -> (Child, Identity) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id().cast_signed()).unwrap();
        std::fs::write(self.orphan.paths.pid_file(&self.orphan.module, name), identity.to_string()).unwrap();
        (child, identity)
    }

    fn say_fenced(&self, who: &Identity) {
        std::fs::write(self.orphan.paths.rfs_fenced(&self.orphan.module), format!("{who}\n")).unwrap();
    }
}

#[tokio::test]
async fn an_rfs_that_says_it_is_fenced_lives_on() {
    let place = place();
    let (mut rfs, identity) = place.process("rfs");
    place.say_fenced(&identity);
    place.orphan.fence_rfs().await;
    assert!(identity.is_alive().unwrap());
    rfs.kill().unwrap();
    rfs.wait().unwrap();
}

#[tokio::test]
async fn an_rfs_that_says_nothing_or_is_not_the_one_that_said_it_is_killed() {
    let place = place();
    let (mut rfs, identity) = place.process("rfs");
    place.say_fenced(&Identity { start_ticks: 1, ..identity.clone() });
    place.orphan.fence_rfs().await;
    assert!(!identity.is_alive().unwrap());
    rfs.wait().unwrap();
}

#[tokio::test]
async fn without_an_rfs_nothing_is_waited_for() {
    let place = place();
    let mut shortest = FENCE_PATIENCE;
    // The best of some: a machine under load is late now and then.
    for _ in 0..10 {
        let started = Instant::now();
        place.orphan.fence_rfs().await;
        shortest = shortest.min(started.elapsed());
    }
    assert!(shortest < FENCE_PATIENCE);
}

#[tokio::test]
async fn kill_all_ends_rfs_and_keeper() {
    let place = place();
    let (mut rfs, _) = place.process("rfs");
    let (mut keeper, _) = place.process("keeper");
    place.orphan.kill_all().await;
    rfs.wait().unwrap();
    keeper.wait().unwrap();
}

#[tokio::test]
async fn scripts_run_with_the_environment_of_the_module() {
    let place = place();
    let script = place.orphan.paths.user_bin(&place.orphan.module).join("stop_prim");
    std::fs::write(&script, "#!/bin/sh\necho \"$1 $SAFEMODULE $SAFEUSERBIN\" >$SAFEUSERVAR/ran\nexit 3\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let args = vec!["force".to_owned()];
    let outcome = place.orphan.run_script(Script::StopPrim, args, Duration::from_secs(20)).await;
    if let ScriptOutcome::Refused(why) = &outcome {
        // Anybody may write into /tmp: then the script is rightly not trusted.
        assert!(why.contains("tmp"), "{why}");
        return;
    }
    assert_eq!(outcome, ScriptOutcome::Exited(3));
    let ran = std::fs::read_to_string(place.orphan.paths.user_var(&place.orphan.module).join("ran")).unwrap();
    assert_eq!(ran, format!("force pg {}\n", place.orphan.paths.user_bin(&place.orphan.module).display()));
}
