//! A ring in plain memory, written as the kernel writes one; the kernel tests read real ones.
//!
//! Invariant: `Producer` alone knows the layout that the tests assume. Run by the unit tests.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;

const SIZE: u32 = 4096;

/// The kernel's end.
struct Producer {
    memory: File,
    produced: u64,
}

impl Producer {
    fn new() -> Self {
        let memory = rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let memory = File::from(memory);
        memory.set_len(2 * page() + 2 * u64::from(SIZE)).unwrap();
        Self { memory, produced: 0 }
    }

    fn consumer(&self) -> Consumer {
        Consumer::new(&self.memory, SIZE).unwrap()
    }

    /// Writes a record with these bits of state.
    fn put(&mut self, content: &[u8], state: u32) {
        let length = u32::try_from(content.len()).unwrap();
        let record = [&(length | state).to_le_bytes()[..], &[0; 4], content].concat();
        for (offset, byte) in (0..).zip(&record) {
            // Both copies of the data, as the kernel maps one page twice.
            let at = (self.produced + offset) % u64::from(SIZE);
            for copy in [at, at + u64::from(SIZE)] {
                self.memory.write_all_at(&[*byte], 2 * page() + copy).unwrap();
            }
        }
        self.produced += u64::try_from(record.len()).unwrap().next_multiple_of(8);
        self.memory
            .write_all_at(&self.produced.to_ne_bytes(), page())
            .unwrap();
    }

    /// The consumer's position as the kernel sees it.
    fn given_back(&self) -> u64 {
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, 0).unwrap();
        u64::from_ne_bytes(word)
    }
}

fn page() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap()
}

fn drain(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| consumer.next().map(|(record, _)| record.to_vec())).collect()
}

#[test]
fn records_stay_until_their_room_is_given_back() {
    let mut producer = Producer::new();
    let mut first = producer.consumer();
    assert!(first.next().is_none());
    assert!(first.give_back(first.read()), "nothing was produced");
    for content in [&b"one"[..], b"two-two-", b""] {
        producer.put(content, 0);
    }
    let (one, behind) = first.next().unwrap();
    assert_eq!((one, behind), (&b"one"[..], Position(16)));
    assert_eq!(producer.given_back(), 0);
    assert!(!first.give_back(behind), "two are left");
    assert_eq!((producer.given_back(), first.held()), (16, 24));
    assert_eq!(drain(&mut first), [b"two-two-".to_vec(), Vec::new()]);
    first.rewind();
    assert_eq!(
        drain(&mut first),
        [b"two-two-".to_vec(), Vec::new()],
        "read again"
    );
    // The next reader gets what the first one read and did not give back.
    drop(first);
    let mut second = producer.consumer();
    assert_eq!(drain(&mut second), [b"two-two-".to_vec(), Vec::new()]);
    assert!(
        second.give_back(Position(u64::MAX)),
        "no more than was read is given back"
    );
    assert_eq!((producer.given_back(), second.held()), (40, 0));
    assert!(second.give_back(Position(0)), "and nothing is taken again");
    assert_eq!(producer.given_back(), 40);
}

#[test]
fn what_is_reserved_is_waited_for_and_what_is_given_up_is_passed_over() {
    let mut producer = Producer::new();
    let mut consumer = producer.consumer();
    producer.put(b"given up", DISCARDED);
    producer.put(b"kept", 0);
    producer.put(b"not submitted", BUSY);
    producer.put(b"behind it", 0);
    assert_eq!(drain(&mut consumer), [b"kept".to_vec()]);
    assert_eq!(consumer.read(), Position(32));
}

#[test]
fn a_record_that_wraps_is_in_one_piece() {
    let mut producer = Producer::new();
    let mut consumer = producer.consumer();
    for round in 0..50_u8 {
        let content = vec![round; 1000];
        producer.put(&content, 0);
        let (record, behind) = consumer.next().unwrap();
        assert_eq!(record, content, "round {round}");
        assert!(consumer.give_back(behind));
    }
}

#[test]
fn a_header_that_lies_ends_the_reading() {
    let mut producer = Producer::new();
    let mut consumer = producer.consumer();
    producer.put(b"honest", 0);
    producer.put(b"", SIZE * 4);
    assert_eq!(drain(&mut consumer), [b"honest".to_vec()]);
    assert!(
        Consumer::new(&producer.memory, 4095).is_err(),
        "no ring has such a size"
    );
}
