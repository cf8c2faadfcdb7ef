use super::*;
use proptest::prelude::*;

fn handle(n: u64) -> Handle {
    Handle::from_parts(1, &n.to_le_bytes()).unwrap()
}

const REG: u32 = libc::S_IFREG;

#[test]
fn a_file_keeps_its_id_over_a_death_of_the_process() {
    let table = Table::create(3).unwrap();
    table.bind(FileId::ROOT, &handle(1), libc::S_IFDIR).unwrap();
    let ids: Vec<_> = (10..50_000).map(|n| table.id_of(&handle(n), REG).unwrap()).collect();
    table.set_flags(ids[0], TIMES | HELD);
    table.looked_up(ids[0]);
    let file = table.file().try_clone_to_owned().unwrap();
    drop(table);

    let table = Table::attach(file, 4).unwrap();
    assert_eq!(table.get(FileId::ROOT).unwrap().kind, libc::S_IFDIR);
    assert_eq!(table.get(ids[0]).unwrap(), Known { handle: handle(10), kind: REG, flags: TIMES | HELD, lookups: 1 });
    for (n, id) in (10..50_000).zip(&ids) {
        assert_eq!(table.find(&handle(n)), Some(*id));
    }
    let fresh = table.new_id();
    assert!(!ids.contains(&fresh));
    assert_eq!((ids[0].0 >> 37, fresh.0 >> 37), (3, 4));
}

#[test]
fn lookups_are_counted_and_never_go_below_zero() {
    let table = Table::create(0).unwrap();
    let id = table.id_of(&handle(1), REG).unwrap();
    table.looked_up(id);
    table.looked_up(id);
    assert!(!table.forgotten(id, 1));
    assert!(table.is_known_to_kernel(id));
    assert!(table.forgotten(id, 7));
    assert!(!table.is_known_to_kernel(id));
}

#[test]
fn binding_cuts_earlier_ties_of_both() {
    let table = Table::create(0).unwrap();
    let a = table.id_of(&handle(1), REG).unwrap();
    let b = table.id_of(&handle(2), REG).unwrap();
    table.bind(a, &handle(2), REG).unwrap();
    assert_eq!(table.find(&handle(2)), Some(a));
    assert_eq!(table.find(&handle(1)), None);
    assert_eq!(table.get(b), None);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_foreign_file_is_refused() {
    let file = Memory::file("other").unwrap();
    rustix::fs::ftruncate(&file, 8192).unwrap();
    assert!(matches!(Table::attach(file, 0), Err(TableError::Foreign { .. })));
}

#[derive(Clone, Debug)]
enum Step {
    IdOf(u64),
    Bind(u64, u64),
    Forget(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..20u64).prop_map(Step::IdOf),
        (2..20u64, 0..20u64).prop_map(|(id, h)| Step::Bind(id, h)),
        (0..40u64).prop_map(Step::Forget),
        Just(Step::Reopen),
    ]
}

proptest! {
    /// The table is a partial bijection, whatever happens to it and however often its process dies.
    #[test]
    fn it_is_a_bijection(steps in proptest::collection::vec(step(), 1..120)) {
        let mut table = Table::create(1).unwrap();
        let mut model: HashMap<u64, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::IdOf(h) => {
                    let id = table.id_of(&handle(h), REG).unwrap();
                    let before = model.iter().find(|(_, v)| **v == h).map(|(k, _)| *k);
                    prop_assert!(before.is_none_or(|before| before == id.0));
                    model.insert(id.0, h);
                }
                Step::Bind(id, h) => {
                    table.bind(FileId(id), &handle(h), REG).unwrap();
                    model.retain(|k, v| *k != id && *v != h);
                    model.insert(id, h);
                }
                Step::Forget(id) => {
                    table.forget(FileId(id));
                    model.remove(&id);
                }
                Step::Reopen => {
                    let file = table.file().try_clone_to_owned().unwrap();
                    drop(table);
                    table = Table::attach(file, 1).unwrap();
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for (id, h) in &model {
                prop_assert_eq!(table.get(FileId(*id)).unwrap().handle, handle(*h));
                prop_assert_eq!(table.find(&handle(*h)), Some(FileId(*id)));
            }
        }
    }
}
