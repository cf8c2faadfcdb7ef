use super::*;
use hf_types::{Epoch, GenerationId, Standing, UpToDate};
use proptest::prelude::*;

fn record(epoch: u64) -> Record {
    Record { epoch: Epoch(epoch), ..Record::new(77) }
}

fn damage(control: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(control.join("record")).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_new_directory_gets_a_new_record_that_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let control = dir.path().join("data.hold");
    let made = RecordFile::open(&control, 77).unwrap();
    assert_eq!(made.current(), &Record::new(77));
    let again = RecordFile::open(&control, 78).unwrap();
    assert_eq!(again.current().identity, 77, "the identity is drawn once");
}

#[test]
fn the_last_write_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = RecordFile::open(dir.path(), 77).unwrap();
    for epoch in 1..6 {
        file.write(&record(epoch)).unwrap();
        assert_eq!(RecordFile::open(dir.path(), 0).unwrap().current(), &record(epoch));
    }
}

#[test]
fn the_longest_record_fits() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = RecordFile::open(dir.path(), u64::MAX).unwrap();
    let long = Record {
        generation: GenerationId(u64::MAX),
        history: vec![GenerationId(u64::MAX); Record::HISTORY_MAX],
        epoch: Epoch(u64::MAX),
        standing: Standing::Outdated { since: GenerationId(u64::MAX) },
        up_to_date: UpToDate::WhileBooted("x".repeat(36)),
        ..Record::new(u64::MAX)
    };
    file.write(&long).unwrap();
    assert_eq!(RecordFile::open(dir.path(), 0).unwrap().current(), &long);
}

#[test]
fn one_damaged_slot_leaves_the_other_and_two_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = RecordFile::open(dir.path(), 77).unwrap();
    file.write(&record(1)).unwrap();
    file.write(&record(2)).unwrap();
    // Counters: 1 when made, then 2 and 3, so slot 1 holds epoch 2.
    damage(dir.path(), SLOT as u64 + 100, b"!");
    let mut left = RecordFile::open(dir.path(), 0).unwrap();
    assert_eq!(left.current(), &record(1));
    left.write(&record(3)).unwrap();
    assert_eq!(RecordFile::open(dir.path(), 0).unwrap().current(), &record(3));
    damage(dir.path(), 30, b"!");
    damage(dir.path(), SLOT as u64 + 30, b"!");
    assert!(matches!(RecordFile::open(dir.path(), 0), Err(RecordError::Damaged { .. })));
}

#[test]
fn a_file_that_is_empty_or_short_is_damaged_not_new() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("record"), b"").unwrap();
    assert!(matches!(RecordFile::open(dir.path(), 0), Err(RecordError::Damaged { .. })));
}

#[test]
fn after_a_failed_write_nothing_is_written_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = RecordFile::open(dir.path(), 77).unwrap();
    file.file = File::open(dir.path().join("record")).unwrap();
    assert!(matches!(file.write(&record(1)), Err(RecordError::File { .. })));
    file.file = OpenOptions::new().write(true).open(dir.path().join("record")).unwrap();
    assert!(matches!(file.write(&record(1)), Err(RecordError::Distrusted { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A power cut in the middle of a write: any prefix of the sectors is new, the rest old.
    #[test]
    fn a_torn_write_leaves_the_old_record_or_the_new_one(
        old in 1u64..1000, torn_at in 0usize..SLOT, garbage in any::<[u8; 16]>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RecordFile::open(dir.path(), 77).unwrap();
        file.write(&record(old)).unwrap();
        let offset = slot_offset(file.counter + 1);
        let new = encode(file.counter + 1, &record(old + 1)).unwrap();
        damage(dir.path(), offset, &new[..torn_at]);
        let end = (torn_at + garbage.len()).min(SLOT);
        damage(dir.path(), offset + torn_at as u64, &garbage[..end - torn_at]);
        let found = RecordFile::open(dir.path(), 0).unwrap();
        prop_assert!(found.current() == &record(old) || found.current() == &record(old + 1));
    }
}
