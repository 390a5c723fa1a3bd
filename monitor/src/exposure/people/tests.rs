//! The host's files as users, groups and ranges.

use super::*;

#[test]
fn users_have_their_groups_and_ranges() {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(host.path().join("etc")).unwrap();
    for (file, text) in [
        (
            "passwd",
            "root:x:0:0::/:/\nann:x:1000:1000::/:/\nnonsense\nsync:x:4:0:sync:/bin:/bin/sync\n",
        ),
        ("group", "root:x:0:\nann:x:1000:\ndisk:x:6:ann,bob\nbad:x:y:ann\n"),
        ("subuid", "ann:100000:65536\n1000:300000:10\n"),
        ("subgid", "ann:100000:65536\n"),
        (
            "nsswitch.conf",
            "passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\nhosts: dns\n",
        ),
    ] {
        std::fs::write(host.path().join("etc").join(file), text).unwrap();
    }
    let running = [Credentials {
        uid: 4711,
        gids: vec![50],
    }]
    .into();
    let people = People::read(&Host::new(host.path()), &running);
    let person = |uid, gids: &[u32], uids: &[ids::Range], sub: &[ids::Range]| Person {
        uid,
        gids: gids.to_vec(),
        takes_on: SubordinateIds {
            uids: uids.to_vec(),
            gids: sub.to_vec(),
        },
    };
    let expected = [
        person(0, &[0], &[], &[]),
        person(
            1000,
            &[1000, 6],
            &[(100_000, 65536), (300_000, 10)],
            &[(100_000, 65536)],
        ),
        person(4711, &[50], &[], &[]),
    ];
    assert_eq!(people.persons, expected);
    assert!(people.is_complete);
    for (gid, members) in [(0, false), (6, true), (7, false), (100_001, true), (50, true)] {
        assert_eq!(people.has_members(gid, &|_| false), members, "{gid}");
    }
}

#[test]
fn what_asks_a_directory_is_not_complete() {
    for (text, complete) in [
        ("", true),
        ("passwd: files sss\n", false),
        ("group:\tldap files\n", false),
        ("hosts: files dns\n", true),
    ] {
        assert_eq!(asks_files_only(text.as_bytes()), complete, "{text}");
    }
}
