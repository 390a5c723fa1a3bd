//! What a `status` file says, and that this process is one.

use super::status::Status;
use super::*;

#[test]
fn a_status_gives_file_ids_groups_and_capabilities() {
    let text =
        b"Name:\tc\\nat\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t9\nGroups:\t7 6 9 \nCapPrm:\t0000000000000004\n";
    let status = Status::parse(text).unwrap();
    assert_eq!(
        status.credentials,
        Credentials {
            uid: 4,
            gids: vec![6, 7, 9]
        }
    );
    assert_ne!(status.permitted & POWERFUL, 0);
    assert_eq!(
        Status::parse(b"Uid:\t1\t2\t3\n").map(|status| status.permitted),
        None
    );
}

#[test]
fn this_process_runs_on_this_host() {
    let found = Processes::look(&Host::new("/"));
    let uid = rustix::process::geteuid().as_raw();
    let namespaces = found.namespaces.iter().flat_map(|one| &one.subjects);
    assert!(found.users.iter().chain(namespaces).any(|one| one.uid == uid));
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..300)) {
        let parsed = Status::parse(&bytes);
        proptest::prop_assert!(parsed.is_none() || bytes.len() > 10);
    }
}
