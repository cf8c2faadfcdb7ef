use super::*;
use std::os::unix::fs::PermissionsExt;

const GOOD: &str = r#"<safe><service mode="mirror" boot="on"><heart><heartbeat name="default"/></heart>
  <user nicestoptimeout="20" forcestoptimeout="10"/></service></safe>"#;

struct Place {
    dir: tempfile::TempDir,
    paths: Paths,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path().join("safe"), dir.path().join("var"));
        fs::create_dir_all(paths.applied_modules()).unwrap();
        Place { dir, paths }
    }

    fn source(&self, name: &str) -> PathBuf {
        let source = self.dir.path().join(name);
        fs::create_dir_all(source.join("conf")).unwrap();
        fs::create_dir_all(source.join("bin")).unwrap();
        fs::write(source.join("conf/userconfig.xml"), GOOD).unwrap();
        fs::write(source.join("bin/start_prim"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(source.join("bin/start_prim"), fs::Permissions::from_mode(0o777)).unwrap();
        source
    }

    fn install(&self, name: &str) -> Result<(ModuleName, u32), ModuleError> {
        install(&self.paths, None, self.source(name).to_str().unwrap(), Installing::default())
    }
}

fn module(name: &str) -> ModuleName {
    name.parse().unwrap()
}

#[test]
fn a_module_is_installed_from_a_directory_or_a_package_and_gets_the_lowest_free_id() {
    let place = Place::new();
    assert_eq!(place.install("one").unwrap(), (module("one"), 1));
    assert_eq!(place.install("two").unwrap(), (module("two"), 2));
    fs::remove_dir_all(place.paths.applied(&module("one"))).unwrap();
    let package = place.dir.path().join("three.safe");
    hf_package::pack(&place.source("x"), &package).unwrap();
    let installed = install(&place.paths, None, package.to_str().unwrap(), Installing::default()).unwrap();
    assert_eq!(installed, (module("three"), 1));
    assert!(place.paths.edited(&module("three")).join("bin/start_prim").is_file());
}

#[test]
fn a_name_without_a_directory_is_one_of_our_packages() {
    let place = Place::new();
    fs::create_dir_all(place.paths.packages()).unwrap();
    hf_package::pack(&place.source("x"), &place.paths.packages().join("mirror.safe")).unwrap();
    let name = Some(module("mine"));
    let installed = install(&place.paths, name, "mirror.safe", Installing::default()).unwrap();
    assert_eq!(installed, (module("mine"), 1));
}

#[test]
fn what_is_there_is_never_overwritten_and_bad_names_are_refused() {
    let place = Place::new();
    place.install("one").unwrap();
    assert!(matches!(place.install("one"), Err(ModuleError::Install(_))));
    assert!(matches!(place.install("safeadmin"), Err(ModuleError::Reserved { .. })));
    let missing = install(&place.paths, None, "/nowhere/x.safe", Installing::default());
    assert!(matches!(missing, Err(ModuleError::NoPackage { .. })));
}

#[test]
fn config_applies_the_edited_files_as_a_whole_and_scan_finds_them() {
    let place = Place::new();
    let (one, _) = place.install("one").unwrap();
    assert_eq!(scan(&place.paths, None).unwrap().modules, []);
    config(&place.paths, &one, None).unwrap();
    let Found { modules, errors } = scan(&place.paths, None).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
    let (name, configured) = &modules[0];
    let installed = configured.installed(name);
    assert_eq!((installed.id, installed.replicates), (1, false));
    assert_eq!(installed.nice_stop_timeout, Duration::from_secs(20));
    let script = place.paths.applied(&one).join("bin/start_prim");
    let mode = fs::metadata(&script).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o755, "nobody else may write what root runs");
    fs::remove_file(place.paths.edited(&one).join("bin/start_prim")).unwrap();
    config(&place.paths, &one, None).unwrap();
    assert!(!script.exists());
    assert_eq!(read_id(&place.paths, &one).unwrap(), Some(1));
    assert_eq!(names_in(&place.paths.applied_modules()).unwrap(), ["one"]);
}

#[test]
fn a_bad_configuration_or_a_link_leaves_what_was_applied() {
    let place = Place::new();
    let (one, _) = place.install("one").unwrap();
    config(&place.paths, &one, None).unwrap();
    let edited = place.paths.edited(&one);
    std::os::unix::fs::symlink("/etc/passwd", edited.join("bin/link")).unwrap();
    assert!(matches!(config(&place.paths, &one, None), Err(ModuleError::Unfit { .. })));
    fs::remove_file(edited.join("bin/link")).unwrap();
    fs::write(edited.join("conf/userconfig.xml"), "<safe><nonsense/></safe>").unwrap();
    assert!(matches!(config(&place.paths, &one, None), Err(ModuleError::Invalid { .. })));
    assert!(matches!(confcheck(&place.paths, &one, None), Err(ModuleError::Invalid { .. })));
    assert_eq!(scan(&place.paths, None).unwrap().modules.len(), 1);
    let other = confcheck(&place.paths, &module("other"), None);
    assert!(matches!(other, Err(ModuleError::NotInstalled { .. })));
}

#[test]
fn one_broken_module_does_not_hide_the_others() {
    let place = Place::new();
    for name in ["one", "two"] {
        let (module, _) = place.install(name).unwrap();
        config(&place.paths, &module, None).unwrap();
    }
    fs::write(place.paths.module_id(&module("one")), "zero").unwrap();
    let Found { modules, errors } = scan(&place.paths, None).unwrap();
    assert_eq!((modules.len(), errors.len()), (1, 1));
    assert_eq!(modules[0].0, module("two"));
}

#[test]
fn an_id_is_given_as_asked_for_unless_it_is_another_s_or_in_use() {
    let place = Place::new();
    let with_id = |name: &str, id: u32| {
        let how = Installing { again: true, id: Some(id) };
        install(&place.paths, None, place.source(name).to_str().unwrap(), how)
    };
    assert_eq!(with_id("one", 7).unwrap(), (module("one"), 7));
    assert_eq!(with_id("one", 8).unwrap(), (module("one"), 8), "not applied yet");
    assert_eq!(place.install("two").unwrap(), (module("two"), 1));
    assert!(matches!(with_id("two", 8), Err(ModuleError::IdTaken { id: 8, .. })));
    assert!(matches!(with_id("two", 0), Err(ModuleError::IdOutOfRange { .. })));
    assert!(matches!(with_id("two", ID_MAX + 1), Err(ModuleError::IdOutOfRange { .. })));
    config(&place.paths, &module("one"), None).unwrap();
    assert!(matches!(with_id("one", 9), Err(ModuleError::IdInUse { id: 8, .. })));
    assert_eq!(with_id("one", 8).unwrap().1, 8);
}

#[test]
fn one_goes_back_to_a_configuration_that_was_applied() {
    let place = Place::new();
    let (one, _) = place.install("one").unwrap();
    config(&place.paths, &one, None).unwrap();
    let script = place.paths.edited(&one).join("bin/start_prim");
    fs::write(&script, "#!/bin/sh\nbroken\n").unwrap();
    let before = info(&place.paths, &one).unwrap();
    assert_ne!(before.active, before.current, "what is edited is not what is applied");
    let kept = lastconfig::kept(&place.paths, &one).unwrap();
    let how = Installing { again: true, id: None };
    install(&place.paths, Some(one.clone()), &kept[0], how).unwrap();
    assert_eq!(fs::read_to_string(&script).unwrap(), "#!/bin/sh\n");
    let after = info(&place.paths, &one).unwrap();
    assert_eq!(after.active.unwrap().signature, after.current.unwrap().signature);
    assert_eq!(names(&place.paths).unwrap(), [one], "the packages are no module");
}

#[test]
fn what_is_removed_is_gone_and_its_id_is_free() {
    let place = Place::new();
    for name in ["one", "two"] {
        let (module, _) = place.install(name).unwrap();
        config(&place.paths, &module, None).unwrap();
    }
    remove(&place.paths, &module("one"), false).unwrap();
    assert_eq!(read_id(&place.paths, &module("one")).unwrap(), Some(1), "deconfig keeps the module");
    assert!(place.paths.edited(&module("one")).is_dir());
    assert_eq!(scan(&place.paths, None).unwrap().modules.len(), 1);
    remove(&place.paths, &module("one"), true).unwrap();
    assert_eq!(names(&place.paths).unwrap(), [module("two")]);
    assert_eq!(place.install("three").unwrap(), (module("three"), 1));
}

#[test]
fn what_another_module_here_replicates_is_not_replicated_twice() {
    const REPLICATES: &str = r#"<safe><service mode="mirror"><heart><heartbeat name="default"/></heart>
      <rfs><replicated dir="/data"/></rfs></service></safe>"#;
    let place = Place::new();
    for name in ["one", "two"] {
        let (module, _) = place.install(name).unwrap();
        fs::write(place.paths.edited(&module).join("conf/userconfig.xml"), REPLICATES).unwrap();
    }
    config(&place.paths, &module("one"), None).unwrap();
    let refused = config(&place.paths, &module("two"), None).unwrap_err();
    let ModuleError::Invalid { diagnostics, .. } = &refused else { panic!("{refused}") };
    assert!(diagnostics.to_string().contains("/data is replicated by the module one already"), "{diagnostics}");
    // Not in its own way, and not in that of a module that was never applied.
    config(&place.paths, &module("one"), None).unwrap();
    assert_eq!(scan(&place.paths, None).unwrap().modules.len(), 1);
}

#[test]
fn what_config_would_change_is_found_and_nothing_is_changed() {
    let place = Place::new();
    let (one, _) = place.install("one").unwrap();
    let xml = r#"<cluster><lans><lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/></lan></lans></cluster>"#;
    let cluster = hf_config::parse_cluster(xml, "cluster.xml").unwrap();
    let member = Member {
        cluster,
        key: hf_seal::ClusterKey::insecure_plaintext(),
        key_before: None,
        me: "n1".parse().unwrap(),
        signature: String::new(),
        applied_us: 0,
        insecure: true,
        locked: false,
    };
    let look = || propose(&place.paths, &one, &member).unwrap().0;
    assert!(look().is_empty(), "nothing is applied, so nothing runs");
    config(&place.paths, &one, Some(&member.cluster)).unwrap();
    assert!(look().is_empty());
    let edited = place.paths.edited(&one);
    fs::write(edited.join("bin/stop_prim"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(edited.join("bin/start_prim"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(edited.join("conf/userconfig.xml"), GOOD.replace("boot=\"on\"", "maxloop=\"7\" failover=\"off\""))
        .unwrap();
    let proposal = look();
    assert_eq!(proposal.scripts, ["start_prim", "stop_prim"]);
    let told: Vec<_> = proposal.changes.iter().map(|change| (change.to_string(), change.dynamic)).collect();
    let wanted = [("boot: on -> ignore", true), ("failover: on -> off", false), ("maxloop: 3 -> 7", true)];
    assert_eq!(told, wanted.map(|(text, dynamic)| (format!("<service> {text}"), dynamic)));
    assert!(fs::read_to_string(place.paths.applied(&one).join("conf/userconfig.xml")).unwrap().contains("boot=\"on\""));
}

#[test]
fn a_modules_own_key_is_used_from_its_next_configuration_on_and_packed_nowhere() {
    let place = Place::new();
    let (one, _) = place.install("one").unwrap();
    config(&place.paths, &one, None).unwrap();
    let applied = || scan(&place.paths, None).unwrap().modules[0].1.signature.0.clone();
    let used = || fs::read_to_string(place.paths.applied_module_key(&one)).ok();
    let without = applied();
    let file = keys::generate(&place.paths, &one).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((used(), applied()), (None, without.clone()), "not yet");
    assert!(keys::changes(&place.paths, &one).unwrap());
    config(&place.paths, &one, None).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(used().as_deref(), Some(text.as_str()));
    assert!(applied() != without && !keys::changes(&place.paths, &one).unwrap());
    // What is kept of the applied configuration is sent to others.
    let package = lastconfig::kept(&place.paths, &one).unwrap().pop().unwrap();
    let unpacked = place.dir.path().join("unpacked");
    hf_package::install(Path::new(&package), &unpacked, &Limits::default()).unwrap();
    let kept = names_in(&unpacked).unwrap();
    assert!(!kept.iter().any(|name| name.contains("key")), "{kept:?}");

    fs::write(&file, "no key").unwrap();
    assert!(config(&place.paths, &one, None).is_err());
    assert_eq!(used().as_deref(), Some(text.as_str()));
    assert!(keys::delete(&place.paths, &one).unwrap() && !keys::delete(&place.paths, &one).unwrap());
    config(&place.paths, &one, None).unwrap();
    assert_eq!((used(), applied()), (None, without));
}
