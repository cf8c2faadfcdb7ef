use super::*;
use crate::spec::{Standing, module_specs};
use crate::{parse_cluster, parse_module};

const CLUSTER: &str = r#"<cluster><lans>
  <lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/></lan>
  <lan name="repli"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/></lan>
  <lan name="third"><node name="n1" addr="10.2.0.1"/><node name="n2" addr="10.2.0.2"/></lan></lans></cluster>"#;

const BASE: &str = r#"<safe><macro name="M" value="10"/><service mode="mirror">
  <heart><heartbeat name="default"/><heartbeat name="repli" ident="flow"/></heart>
  <rfs><replicated dir="/data"><tocheck path="a"/><notreplicated path="b"/></replicated></rfs>
  <vip><interface_list><interface check="off"><real_interface>
    <virtual_addr addr="10.0.0.9" where="one_side_alias"/></real_interface></interface></interface_list></vip>
  <user><var name="V" value="%M%"/></user>
  <vhost><virtualhostname name="virtual" envfile="env"/></vhost></service></safe>"#;

/// For each attribute that can have two values: the tag, the attribute, and what is exchanged for what in [`BASE`].
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("macro", "name", r#"<macro name="M" value="10"/>"#, r#"<macro name="N" value="1"/><macro name="M" value="11"/>"#),
    ("macro", "value", r#"value="10""#, r#"value="11""#),
    ("service", "boot", "mirror\"", "mirror\" boot=\"on\""),
    ("service", "boot_delay", "mirror\"", "mirror\" boot_delay=\"9\""),
    ("service", "failover", "mirror\"", "mirror\" failover=\"off\""),
    ("service", "defaultprim", "mirror\"", "mirror\" defaultprim=\"n1\""),
    ("service", "maxloop", "mirror\"", "mirror\" maxloop=\"9\""),
    ("service", "loop_interval", "mirror\"", "mirror\" loop_interval=\"9\""),
    ("service", "automatic_reboot", "mirror\"", "mirror\" automatic_reboot=\"on\""),
    ("service", "reaction", "mirror\"", "mirror\" reaction=\"fast\""),
    ("heart", "port", "<heart>", r#"<heart port="7777">"#),
    ("heart", "pulse", "<heart>", r#"<heart pulse="100">"#),
    ("heart", "timeout", "<heart>", r#"<heart timeout="9000">"#),
    ("heart", "permanent_arp", "<heart>", r#"<heart permanent_arp="off">"#),
    ("heartbeat", "name", r#"name="default""#, r#"name="third""#),
    ("heartbeat", "ident", r#"name="default""#, r#"name="default" ident="lan""#),
    ("heartbeat", "port", r#"name="default""#, r#"name="default" port="7777""#),
    ("heartbeat", "pulse", r#"name="default""#, r#"name="default" pulse="100""#),
    ("heartbeat", "timeout", r#"name="default""#, r#"name="default" timeout="9000""#),
    ("rfs", "async", "<rfs>", r#"<rfs async="none">"#),
    ("rfs", "mountoversuffix", "<rfs>", r#"<rfs mountoversuffix="_x">"#),
    ("rfs", "mountover", "<rfs>", r#"<rfs mountover="off">"#),
    ("rfs", "acl", "<rfs>", r#"<rfs acl="on">"#),
    ("rfs", "nbremconn", "<rfs>", r#"<rfs nbremconn="2">"#),
    ("rfs", "nbrei", "<rfs>", r#"<rfs nbrei="2">"#),
    ("rfs", "sendtimeout", "<rfs>", r#"<rfs sendtimeout="9">"#),
    ("rfs", "locktimeout", "<rfs>", r#"<rfs locktimeout="9">"#),
    ("rfs", "reitimeout", "<rfs>", r#"<rfs reitimeout="9">"#),
    ("rfs", "retimeout", "<rfs>", r#"<rfs retimeout="9">"#),
    ("rfs", "reiallowedbw", "<rfs>", r#"<rfs reiallowedbw="9">"#),
    ("rfs", "syncdelta", "<rfs>", r#"<rfs syncdelta="9">"#),
    ("rfs", "packetsize", "<rfs>", r#"<rfs packetsize="65536">"#),
    ("rfs", "reipacketsize", "<rfs>", r#"<rfs reipacketsize="65536">"#),
    ("rfs", "ruzone_blocksize", "<rfs>", r#"<rfs ruzone_blocksize="16777216">"#),
    ("rfs", "namespacepolicy", "<rfs>", r#"<rfs namespacepolicy="1">"#),
    ("rfs", "reicommit", "<rfs>", r#"<rfs reicommit="9">"#),
    ("rfs", "encryption", "<rfs>", r#"<rfs encryption="off">"#),
    ("rfs", "reidetail", "<rfs>", r#"<rfs reidetail="on">"#),
    ("rfs", "checktime", "<rfs>", r#"<rfs checktime="9000">"#),
    ("rfs", "checkintv", "<rfs>", r#"<rfs checkintv="9">"#),
    ("rfs", "syncat", "<rfs>", r#"<rfs syncat="01 0 * * *">"#),
    ("flow", "name", "<replicated", r#"<flow name="third"/><replicated"#),
    ("replicated", "dir", "/data", "/other"),
    ("notreplicated", "path", r#"path="b""#, r#"path="c""#),
    ("notreplicated", "regexpath", r#"path="b""#, r#"regexpath="b""#),
    ("notreplicated", "regxpath", r#"path="b""#, r#"regxpath="b""#),
    ("tocheck", "path", r#"path="a""#, r#"path="c""#),
    ("vip", "tcpreset", "<vip>", r#"<vip tcpreset="off">"#),
    ("interface", "name", r#"<interface check="off""#, r#"<interface check="off" name="eth0""#),
    ("interface", "check", r#"<interface check="off""#, r#"<interface check="on""#),
    ("interface", "arpreroute", r#"<interface check="off""#, r#"<interface check="off" arpreroute="on""#),
    ("interface", "arpinterval", r#"<interface check="off""#, r#"<interface check="off" arpinterval="9""#),
    ("interface", "arpelapse", r#"<interface check="off""#, r#"<interface check="off" arpelapse="9""#),
    ("virtual_addr", "addr", r#"addr="10.0.0.9""#, r#"addr="10.0.0.8""#),
    ("virtual_addr", "check", r#"addr="10.0.0.9""#, r#"addr="10.0.0.9" check="off""#),
    ("virtual_addr", "connections", r#"addr="10.0.0.9""#, r#"addr="10.0.0.9" connections="on""#),
    ("virtual_addr", "netmask", r#"addr="10.0.0.9""#, r#"addr="10.0.0.9" netmask="24""#),
    ("user", "nicestoptimeout", "<user>", r#"<user nicestoptimeout="9">"#),
    ("user", "forcestoptimeout", "<user>", r#"<user forcestoptimeout="9">"#),
    ("user", "logging", "<user>", r#"<user logging="none">"#),
    ("user", "userlogsize", "<user>", r#"<user userlogsize="9">"#),
    ("var", "name", r#"name="V""#, r#"name="W""#),
    ("var", "value", "%M%", "11"),
    ("virtualhostname", "name", r#"name="virtual""#, r#"name="other""#),
    ("virtualhostname", "envfile", r#"envfile="env""#, r#"envfile="other""#),
    ("virtualhostname", "when", r#"envfile="env""#, r#"envfile="env" when="both""#),
];

/// Whatever a macro stands for decides, not the macro.
const MACRO_IS_OF_A_VAR: bool = true;
/// They have one value in a mirror module, or stand for another attribute in files from before version 7.2.
const ONE_VALUE: [(&str, &str); 4] =
    [("service", "mode"), ("replicated", "mode"), ("virtual_addr", "where"), ("server", "addr")];

fn parse(text: &str) -> ModuleConfig {
    let cluster = parse_cluster(CLUSTER, "cluster.xml").expect("a cluster");
    parse_module(text, "userconfig.xml", "m", Some(&cluster), &|_| None).unwrap_or_else(|found| panic!("{found}"))
}

fn base(find: &str) -> String {
    let text = BASE.to_owned();
    assert!(text.contains(find), "{find} is not in the base");
    text
}

#[test]
fn every_attribute_changes_while_the_module_runs_exactly_if_the_table_of_tags_says_so() {
    for (tag, attribute, from, to) in TABLE {
        let text = base(from);
        let (before, after) = (parse(&text), parse(&text.replacen(from, to, 1)));
        assert_eq!(changes(&before, &before), [], "nothing changed");
        let found = changes(&before, &after);
        assert!(!found.is_empty(), "{tag} {attribute} makes no difference");
        let dynamic = match *tag {
            "macro" => MACRO_IS_OF_A_VAR,
            tag => spec_of(tag).and_then(|spec| spec.attribute(attribute)).expect("an attribute").dynamic,
        };
        let told = found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found.iter().all(|change| change.dynamic), dynamic, "{tag} {attribute}: {told:?}");
    }
}

#[test]
fn no_attribute_is_left_out_of_the_table() {
    for spec in module_specs() {
        for attribute in spec.attributes {
            let never = matches!(attribute.standing, Standing::OnlyDefault(_) | Standing::Never(_) | Standing::Windows);
            let here = (spec.tag, attribute.name);
            let listed = TABLE.iter().any(|(tag, attribute, ..)| (*tag, *attribute) == here);
            assert!(never || listed || ONE_VALUE.contains(&here), "{here:?}: say how it changes");
        }
    }
}

#[test]
fn a_tag_that_comes_or_goes_is_one_change() {
    let told = |from: &str, to: &str| {
        let text = base(from);
        let found = changes(&parse(&text), &parse(&text.replacen(from, to, 1)));
        found.iter().map(|change| (change.to_string(), change.dynamic)).collect::<Vec<_>>()
    };
    let flow = r#"<heartbeat name="repli" ident="flow"/>"#;
    assert_eq!(told(flow, ""), [("<heartbeat repli> is gone".to_owned(), true)]);
    let three = format!(r#"{flow}<heartbeat name="third"/>"#);
    assert_eq!(told(flow, &three), [("<heartbeat third> is new".to_owned(), true)]);
    let user = r#"<user><var name="V" value="%M%"/></user>"#;
    let gone = [("<user> is gone".to_owned(), true), ("<var V> is gone".to_owned(), true)];
    assert_eq!(told(user, ""), gone);
    assert_eq!(told(r#"name="V""#, r#"name="V" "#), []);
    let text = base("<rfs>").replace(r#" ident="flow""#, "");
    let (begin, end) = (text.find("<rfs>").expect("rfs"), text.find("</rfs>").expect("its end") + "</rfs>".len());
    let without = [&text[..begin], &text[end..]].concat();
    let rfs = changes(&parse(&text), &parse(&without));
    assert_eq!((rfs[0].to_string().as_str(), rfs[0].dynamic), ("<rfs> is gone", false));
    let first =
        told(&format!(r#"<heartbeat name="default"/>{flow}"#), &format!(r#"{flow}<heartbeat name="default"/>"#));
    assert_eq!(first, [("<heartbeat that comes first> name: default -> repli".to_owned(), true)]);
    assert_eq!(told("<rfs>", r#"<rfs reiallowedbw="9">"#), [("<rfs> reiallowedbw: none -> 9".to_owned(), false)]);
    assert_eq!(
        told("mirror\"", "mirror\" defaultprim=\"n2\""),
        [("<service> defaultprim: alone -> n2".to_owned(), false)]
    );
}

/// The reference lets the whole of `<check>` change (13.10.2).
#[test]
fn checkers_change_while_the_module_runs() {
    let with = |check: &str| parse(&base("<rfs>").replace("<vhost>", &format!("<check>{check}</check><vhost>")));
    let tcp = r#"<tcp ident="web" when="prim"><to addr="10.0.0.9" port="80"/></tcp>"#;
    let told = |before: &str, after: &str| {
        let found = changes(&with(before), &with(after));
        found.iter().map(|change| (change.to_string(), change.dynamic)).collect::<Vec<_>>()
    };
    assert_eq!(told("", tcp), [("<check tcp.web> is new".to_owned(), true)]);
    assert_eq!(told(tcp, ""), [("<check tcp.web> is gone".to_owned(), true)]);
    assert_eq!(told(tcp, &tcp.replace("80", "81")), [("<check tcp.web> is another".to_owned(), true)]);
    assert_eq!(told(tcp, &tcp.replace("/>", r#" interval="10"/>"#)), [], "that is the default");
    let action = tcp.replace("prim\"", "prim\" action=\"stopstart\"");
    assert_eq!(told(tcp, &action), [("<check tcp.web> is another".to_owned(), true)], "its rule goes with it");
}

/// Nothing of a farm's networks and addresses changes while it runs (reference 004, 13.4.2 and 13.5.4.1).
#[test]
fn a_farm_stops_for_another_network_address_or_rule() {
    const FARM: &str = r#"<safe><service mode="farm"><farm pulse="500" mlost_count="4" slost_count="4"><lan name="default"/></farm>
        <vip><interface_list><interface><virtual_interface type="vmac_invisible" addr="5a:fe:0a:00:00:09"><virtual_addr addr="10.0.0.9"/>
        </virtual_interface></interface></interface_list><loadbalancing_list><group name="g"><rule port="80" proto="tcp" filter="on_addr"/></group>
        </loadbalancing_list></vip></service></safe>"#;
    let changed = [
        (r#"pulse="500""#, r#"pulse="700""#),
        (r#"mlost_count="4""#, r#"mlost_count="5""#),
        (r#"slost_count="4""#, ""),
        (r#"<lan name="default"/>"#, r#"<lan name="repli"/>"#),
        ("<farm ", r#"<farm port="4900" "#),
        ("vmac_invisible", "vmac_directed"),
        ("5a:fe:0a:00:00:09", "5a:fe:0a:00:00:0a"),
        (r#"name="g""#, r#"name="h""#),
        (r#"port="80""#, r#"port="81""#),
        ("<rule", r#"<cluster><host name="n1"/><host name="n2" power="2"/></cluster><rule"#),
    ];
    for (from, to) in changed {
        assert!(FARM.contains(from), "{from}");
        let found = changes(&parse(FARM), &parse(&FARM.replacen(from, to, 1)));
        // Leaving the default out is none.
        assert_eq!(found.is_empty(), to.is_empty(), "{from} -> {to}");
        assert!(found.iter().all(|change| !change.dynamic), "{from} -> {to}: {found:?}");
    }
    let rule = changes(&parse(FARM), &parse(&FARM.replacen("80", "81", 1)));
    assert_eq!(rule[0].to_string(), "<group g> is another");
}
