use super::layout::{HEADER, SLOT};
use super::*;
use hf_types::{Level, LogLine};
use proptest::prelude::*;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SMALL: u64 = HEADER + 64 * SLOT as u64;

fn line(n: u64, length: usize) -> LogLine {
    LogLine { at_us: n as i64, process: "heart".to_owned(), level: Level::E, counter: n, text: "x".repeat(length) }
}

fn counters(batch: &RingBatch) -> Vec<u64> {
    batch.lines.iter().map(|line| line.counter).collect()
}

fn write(path: &Path, lines: impl IntoIterator<Item = LogLine>) {
    let writer = RingWriter::open(path, SMALL).unwrap();
    for line in lines {
        while !writer.write(&line) {}
    }
}

fn read(path: &Path, position: RingPosition) -> RingBatch {
    RingReader::open(path).unwrap().read(position, usize::MAX).unwrap()
}

#[test]
fn a_reader_goes_on_where_it_was_also_across_writers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, (1..=5).map(|n| line(n, 10)));
    let first = read(&path, RingPosition::default());
    assert_eq!((counters(&first), first.lost), (vec![1, 2, 3, 4, 5], 0));
    write(&path, (6..=7).map(|n| line(n, 600)));
    let second = read(&path, first.position);
    assert_eq!((counters(&second), second.lost), (vec![6, 7], 0));
    assert_eq!(second.lines[0], line(6, 600));
    let third = read(&path, second.position);
    assert_eq!((third.lines.len(), third.position), (0, second.position));
}

#[test]
fn a_lapped_reader_gets_the_newest_and_the_number_of_the_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, [line(1, 10)]);
    let first = read(&path, RingPosition::default());
    write(&path, (2..=201).map(|n| line(n, 10)));
    let batch = read(&path, first.position);
    assert_eq!(counters(&batch), (138..=201).collect::<Vec<_>>());
    assert_eq!(batch.lost, 136);
}

#[test]
fn a_torn_slot_costs_one_line_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, (1..=5).map(|n| line(n, 10)));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // Sequence 3 lies in place 3.
    file.write_all_at(b"torn", HEADER + 3 * SLOT as u64 + 60).unwrap();
    let batch = read(&path, RingPosition::default());
    assert_eq!((counters(&batch), batch.lost), (vec![1, 2, 4, 5], 1));
}

#[test]
fn a_line_whose_writer_died_in_the_middle_is_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, [line(1, 10)]);
    // What a writer leaves that dies between two slots of line 2: its first slot, unpublished.
    let half = layout::Slot { seq: 2, line: 2, part: 0, parts: 3, payload: vec![b'{'; layout::PAYLOAD] };
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&half.encode(), HEADER + 2 * SLOT as u64).unwrap();
    let first = read(&path, RingPosition::default());
    assert_eq!(counters(&first), vec![1]);
    write(&path, [line(3, 300)]);
    let second = read(&path, first.position);
    assert_eq!((counters(&second), second.lost), (vec![3], 1));
}

#[test]
fn after_another_boot_nothing_is_read_twice_even_if_the_header_went_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, [line(1, 10)]);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut old = writer::read_header(&file).unwrap();
    write(&path, (2..=4).map(|n| line(n, 10)));
    let before = read(&path, RingPosition::default());
    assert_eq!(counters(&before), vec![1, 2, 3, 4]);
    // The power cut takes header and slots 2 to 4 back, and the boot id is another.
    old.boot = [b'x'; 36];
    file.write_all_at(&old.encode(), 0).unwrap();
    file.write_all_at(&[0; 3 * SLOT], HEADER + 2 * SLOT as u64).unwrap();
    write(&path, [line(5, 10)]);
    assert_eq!(counters(&read(&path, before.position)), vec![5]);
}

#[test]
fn what_was_not_read_before_another_boot_is_read_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, (1..=2).map(|n| line(n, 10)));
    let before = read(&path, RingPosition::default());
    write(&path, (3..=5).map(|n| line(n, 600)));
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut other = writer::read_header(&file).unwrap();
    other.boot = [b'x'; 36];
    file.write_all_at(&other.encode(), 0).unwrap();
    // The next writer is there before the reader.
    write(&path, [line(6, 10)]);
    let after = read(&path, before.position);
    assert_eq!((counters(&after), after.lost), (vec![3, 4, 5, 6], 0));
    write(&path, [line(7, 10)]);
    assert_eq!(counters(&read(&path, after.position)), [7]);
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    let _first = RingWriter::open(&path, SMALL).unwrap();
    let second = RingWriter::open(&path, SMALL).unwrap_err();
    assert!(matches!(second, RingError::Busy { .. }), "{second:?}");
}

#[test]
fn a_file_that_is_no_ring_is_made_one_and_a_replaced_ring_is_read_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    write(&path, (1..=3).map(|n| line(n, 10)));
    let first = read(&path, RingPosition::default());
    std::fs::write(&path, b"something else").unwrap();
    let error = RingReader::open(&path).unwrap().read(first.position, 10);
    assert!(matches!(error, Err(RingError::NoRing { .. })), "{error:?}");
    write(&path, [line(9, 10)]);
    let second = read(&path, first.position);
    assert_eq!((counters(&second), second.lost), (vec![9], 0));
}

#[test]
fn a_very_long_text_is_cut_at_a_character() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    let mut long = line(1, 0);
    long.text = "ä".repeat(50_000);
    write(&path, [long]);
    let batch = read(&path, RingPosition::default());
    assert!(batch.lines[0].text.ends_with("ä (cut off)"));
    assert!(batch.lines[0].text.len() <= 8192);
}

#[test]
fn the_bell_rings_after_the_line_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heart.ring");
    let (bell, rings) = std::sync::mpsc::channel();
    let send = move || bell.send(()).unwrap();
    let writer = RingWriter::open_with_bell(&path, SMALL, send).unwrap();
    writer.write(&line(1, 10));
    rings.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(read(&path, RingPosition::default()).lines.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is torn and however reading is cut into pieces: every line comes at most once, in order, unchanged, and what
    /// is missing between two that came is counted.
    #[test]
    fn lines_come_once_in_order_or_are_counted(
        lengths in proptest::collection::vec(0_usize..900, 1..60),
        torn in proptest::collection::vec((0_u64..64 * SLOT as u64, any::<u8>()), 0..4),
        piece in 1_usize..20,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heart.ring");
        write(&path, lengths.iter().enumerate().map(|(n, length)| line(n as u64 + 1, *length)));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for (at, byte) in torn {
            file.write_all_at(&[byte], HEADER + at).unwrap();
        }
        let reader = RingReader::open(&path).unwrap();
        let (mut position, mut last) = (RingPosition::default(), 0);
        loop {
            let batch = reader.read(position, piece).unwrap();
            let mut missing = 0;
            for got in &batch.lines {
                prop_assert!(got.counter > last);
                if last > 0 { missing += got.counter - last - 1; }
                last = got.counter;
                prop_assert_eq!(got, &line(last, lengths[last as usize - 1]));
            }
            prop_assert_eq!(batch.lost, missing);
            position = batch.position;
            if !batch.more { break; }
        }
    }
}
