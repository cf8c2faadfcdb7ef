//! Two modules on a node: what they must not have in common.

use std::net::IpAddr;

use hf_config::{Code, ModuleConfig, OnNode, check_module_on, parse_module};

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

fn names(name: &str) -> Result<IpAddr, String> {
    match name {
        "vip.example" => Ok([10, 0, 0, 100].into()),
        "free.example" => Ok([10, 0, 0, 102].into()),
        "looped.example" => Ok([127, 0, 1, 1].into()),
        _ => Err("no such host".to_owned()),
    }
}

/// The marked text and the message of every finding.
fn beside(text: &str) -> Vec<(String, String)> {
    let others = [other()];
    let node = OnNode { others: &others, names: &names };
    let checked = check_module_on(&node, text, "u.xml", "mine", None, &|_| None);
    let found = checked.diagnostics.list.into_iter();
    found
        .map(|one| {
            assert!(one.code != Code::NotYet && one.help.is_some(), "{}", one.message);
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
fn a_name_is_judged_by_its_address() {
    let said = |address: &str| {
        beside(&text(&replicated("/data/mine"), address)).into_iter().map(|(_, message)| message).next()
    };
    assert_eq!(said("free.example"), None);
    assert_eq!(said("VIP.example").as_deref(), Some("10.0.0.100 is a virtual address of the module other already"));
    assert_eq!(said("gone.example").as_deref(), Some("addr=\"gone.example\" has no address: no such host"));
    let looped = "addr=\"looped.example\" stands for 127.0.1.1, which is this machine itself";
    assert_eq!(said("looped.example").as_deref(), Some(looped));
}

#[test]
fn a_name_and_its_address_are_one() {
    let both = text(&replicated("/data/mine"), "10.0.0.102").replace(
        "</real_interface>",
        "<virtual_addr addr='free.example' where='one_side_alias' check='off'/></real_interface>",
    );
    let found = check_module_on(&OnNode { others: &[], names: &names }, &both, "u.xml", "mine", None, &|_| None);
    let found: Vec<_> = found.diagnostics.list.iter().map(|one| (one.code, one.message.as_str())).collect();
    assert_eq!(found, [(Code::Duplicate, "10.0.0.102 is there already")]);
    let named = text(&replicated("/data/mine"), "Free.example");
    let config =
        check_module_on(&OnNode { others: &[], names: &names }, &named, "u.xml", "mine", None, &|_| None).value;
    let config = config.expect("it is good");
    let (_, address) = config.virtual_addresses().next().expect("an address");
    assert_eq!((address.addr.to_string().as_str(), address.name.as_deref()), ("10.0.0.102", Some("free.example")));
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
