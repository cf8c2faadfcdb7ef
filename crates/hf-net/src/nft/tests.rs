//! The encoder against goldens, and against what the kernel gives back.

use super::attr;
use super::kernel::batch;
use super::*;

fn in_a_namespace<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let body = move || {
        // SAFETY: changes the namespace of this thread only.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "these tests need root: {}", std::io::Error::last_os_error());
        job()
    };
    std::thread::spawn(body).join().unwrap()
}

fn marks(marks: &[u32]) -> Elements {
    marks.iter().map(|mark| (mark.to_ne_bytes().to_vec(), None)).collect()
}

fn table() -> Table {
    let mut table = Table::new(Family::Inet, "t");
    let set = Set { key: Kind::Mark, data: None, size: Some(256), lifetime: None, elements: marks(&[1, 2]) };
    table.sets.insert("mine".to_owned(), set);
    let exprs = vec![
        Expr::LoadMeta { key: Meta::L4Proto, to: Register::WORK },
        Expr::Compare { register: Register::WORK, how: Comparison::Equal, with: vec![6] },
        Expr::Load { field: Field::new(Base::Network, 12, 4), to: Register::KEY },
        Expr::Load { field: Field::new(Base::Transport, 0, 2), to: Register::KEY.behind(1) },
        Expr::Hash { from: Register::KEY, len: 8, to: Register::WORK, modulus: 256, seed: 0x5afe },
        Expr::Lookup { set: "mine".to_owned(), key: Register::WORK, inverted: true },
        Expr::Verdict(Verdict::Drop),
    ];
    let hook = Hook { number: Hook::INET_PREROUTING, priority: -150, device: None };
    let rules = vec![Rule { comment: "not mine".to_owned(), exprs }];
    table.chains.insert("pre".to_owned(), Chain { hook: Some(hook), rules });
    table
}

#[cfg(target_endian = "little")]
#[test]
fn a_batch_looks_as_nft_sends_it() {
    let bytes = batch(&[Message::delete_table(Family::Arp, "t")], 7);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let begin = "1400000010000100070000000000000000" /* family */
        .to_owned()
        + "00000a";
    let delete = "1c000000020a0500080000000000000003000000" /* name */
        .to_owned()
        + "0600010074000000";
    let end = "1400000011000100090000000000000000" /* family */
        .to_owned()
        + "00000a";
    assert_eq!(text, begin + &delete + &end);
}

#[cfg(target_endian = "little")]
#[test]
fn expressions_have_the_kernels_numbers() {
    let hex = |expr: Expr| expr.encode().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // NFTA_EXPR_NAME "cmp", NFTA_EXPR_DATA { SREG 16, OP equal, DATA { VALUE 6 } }
    let compare = Expr::Compare { register: Register::WORK, how: Comparison::Equal, with: vec![6] };
    let data = "0800010000000010".to_owned() + "0800020000000000" + "0c000380" + "0500010006000000";
    assert_eq!(hex(compare), "08000100636d7000".to_owned() + "20000280" + &data);
    // "immediate", DREG 0, DATA { VERDICT { CODE accept } }
    let verdict = "0800010000000000".to_owned() + "10000280" + "0c000280" + "0800010000000001";
    let name = "0e000100".to_owned() + "696d6d65646961746500" + "0000";
    assert_eq!(hex(Expr::Verdict(Verdict::Accept)), name + "1c000280" + &verdict);
}

#[test]
fn the_kernel_gives_back_what_it_got() {
    in_a_namespace(|| {
        let mut nft = Nft::open().unwrap();
        let before = nft.generation().unwrap();
        let mut table = table();
        table.note = b"a note".to_vec();
        nft.commit(&Message::create(&table, Ownership::Anybodys)).unwrap();
        assert!(nft.generation().unwrap() > before);
        let listed = nft.tables().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].name.as_str(), &listed[0].note[..], listed[0].owner), ("t", &b"a note"[..], None));
        assert_eq!(nft.elements(Family::Inet, "t", "mine").unwrap(), marks(&[1, 2]));
        let picture = nft.picture(Family::Inet, "t").unwrap();
        assert_eq!(picture.len(), 2, "a chain and a rule");
        let names = |rule: &[u8]| {
            let list = attr::find(rule, 4).unwrap();
            attr::read(list).iter().map(|(_, expr)| attr::text(expr, 1).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(&picture[1]), ["meta", "cmp", "payload", "payload", "hash", "lookup", "immediate"]);

        let set = Set { elements: marks(&[7]), ..table.sets["mine"].clone() };
        nft.commit(&Message::refill(&table, "mine", &set)).unwrap();
        assert_eq!(nft.elements(Family::Inet, "t", "mine").unwrap(), marks(&[7]));
        assert_eq!(nft.picture(Family::Inet, "t").unwrap(), picture, "rules are the same");
        nft.commit(&[Message::delete_table(Family::Inet, "t")]).unwrap();
        assert_eq!(nft.tables().unwrap(), []);
    });
}

#[test]
fn nft_reads_the_same() {
    in_a_namespace(|| {
        let mut nft = Nft::open().unwrap();
        nft.commit(&Message::create(&table(), Ownership::Anybodys)).unwrap();
        let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for part in [
            "type filter hook prerouting priority mangle; policy accept;",
            "elements = { 0x00000001, 0x00000002 }",
            "tcp sport mod 256 seed 0x5afe != @mine drop comment \"not mine\"",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    });
}

#[test]
fn a_refused_batch_changes_nothing_and_names_its_message() {
    in_a_namespace(|| {
        let mut nft = Nft::open().unwrap();
        let mut table = table();
        let rules = &mut table.chains.get_mut("pre").unwrap().rules;
        let lookup = Expr::Lookup { set: "theirs".to_owned(), key: Register::WORK, inverted: false };
        let load = Expr::LoadMeta { key: Meta::InInterface, to: Register::WORK };
        rules.push(Rule { comment: "wrong".to_owned(), exprs: vec![load, lookup] });
        let error = nft.commit(&Message::create(&table, Ownership::Anybodys)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel refused to add the rule \"wrong\" to the chain pre of the table t; nothing was changed"
        );
        assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(nft.tables().unwrap(), []);
        nft.commit(&[]).unwrap();
    });
}

#[test]
fn elements_with_a_lifetime_go_by_themselves_unless_renewed() {
    in_a_namespace(|| {
        let mut nft = Nft::open().unwrap();
        let mut table = table();
        table.sets.get_mut("mine").unwrap().lifetime = Some(std::time::Duration::from_secs(600));
        nft.commit(&Message::create(&table, Ownership::Anybodys)).unwrap();
        assert_eq!(nft.elements(Family::Inet, "t", "mine").unwrap(), marks(&[1, 2]));
        let lifetime = Some(std::time::Duration::from_millis(100));
        let set = Set { lifetime, ..table.sets["mine"].clone() };
        nft.commit(&Message::refill(&table, "mine", &set)).unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !nft.elements(Family::Inet, "t", "mine").unwrap().is_empty() {
            assert!(std::time::Instant::now() < end, "they live on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        nft.commit(&Message::refill(&table, "mine", &table.sets["mine"])).unwrap();
        assert_eq!(nft.elements(Family::Inet, "t", "mine").unwrap(), marks(&[1, 2]), "renewed after their end");
    });
}
