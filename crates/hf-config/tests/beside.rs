//! Two modules on a node: what they must not have in common.

use hf_config::{Code, ModuleConfig, check_module_beside, parse_module};

fn text(dirs: &str, address: &str) -> String {
    format!(
        "<safe><service mode='mirror'><heart><heartbeat name='default'/></heart>\n<rfs>{dirs}</rfs>\n<vip><interface_list>\
         <interface check='off'><real_interface><virtual_addr addr='{address}' where='one_side_alias' check='off'/>\
         </real_interface></interface></interface_list></vip></service></safe>"
    )
}

fn replicated(dir: &str) -> String {
    format!("<replicated dir='{dir}'/>")
}

fn other() -> ModuleConfig {
    let text = text(&replicated("/data/app"), "10.0.0.100");
    parse_module(&text, "other.xml", "other", None, &|_| None).expect("it is good")
}

/// The marked text and the message of every finding.
fn beside(text: &str) -> Vec<(String, String)> {
    let checked = check_module_beside(text, "u.xml", "mine", None, &|_| None, &[other()]);
    let found = checked.diagnostics.list.into_iter();
    found
        .map(|one| {
            assert_eq!((one.code, one.help.is_some()), (Code::Conflict, true));
            (text[one.span].to_owned(), one.message)
        })
        .collect()
}

#[test]
fn a_virtual_address_belongs_to_one_module() {
    let found = beside(&text(&replicated("/data/mine"), "10.0.0.100"));
    let message = "10.0.0.100 is a virtual address of the module other already".to_owned();
    assert_eq!(found, [("10.0.0.100".to_owned(), message)]);
}

#[test]
fn a_directory_is_replicated_by_one_module() {
    let mine = |dir: &str| beside(&text(&replicated(dir), "10.0.0.101")).into_iter().map(|(_, message)| message).next();
    assert_eq!(mine("/data/app").as_deref(), Some("/data/app is replicated by the module other already"));
    for inside in ["/data/app/log", "/data", "/data/app_For_SafeKit_Replication"] {
        let message = format!("{inside} and /data/app of the module other lie inside each other");
        assert_eq!(mine(inside), Some(message));
    }
    assert_eq!(mine("/data/app2"), None);
}
