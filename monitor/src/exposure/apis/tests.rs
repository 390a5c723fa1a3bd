//! What is an open API, of processes as procfs shows them.

use super::listening::row;
use super::*;

/// A process that listens at 127.0.0.1 on 2375, 9323 and 8888 with the descriptors 3, 9 and 10; the ports that are open.
fn check(name: &str, words: &[&str], config: (&str, &str), expected: &[u16]) {
    let process = tempfile::tempdir().unwrap();
    let at = |name: &str| process.path().join(name);
    let file = at(&format!("root{}", config.0));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, config.1).unwrap();
    std::fs::write(at("cmdline"), words.join("\0") + "\0").unwrap();
    std::fs::write(at("environ"), "LISTEN_FDS=1\0").unwrap();
    for directory in ["fd", "net"] {
        std::fs::create_dir(at(directory)).unwrap();
    }
    let mut list = String::from("  sl  local_address rem_address   st\n");
    for (number, (descriptor, port)) in [(3, 2375), (9, 9323), (10, 8888)].into_iter().enumerate() {
        std::os::unix::fs::symlink(format!("socket:[{descriptor}]"), at(&format!("fd/{descriptor}")))
            .unwrap();
        let rest = format!("00:00000000 00000000 0 0 {descriptor} 1");
        let row = format!("{number}: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 {rest}");
        list = [list, row].join("\n");
    }
    // Another process's.
    list += "\n   4: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1\n";
    std::fs::write(at("net/tcp"), list).unwrap();
    let open = of(process.path(), name, 0);
    let ports: Vec<u16> = open.iter().map(|api| api.address.port()).collect();
    assert_eq!(ports, expected, "{name} {words:?} {config:?}");
}

const NONE: (&str, &str) = ("/none", "");

#[test]
fn an_api_is_open_where_it_is_served_without_asking_for_a_certificate() {
    let docker = |words: &[&str], expected: &[u16]| {
        check("dockerd", &[&["dockerd"], words].concat(), NONE, expected);
    };
    docker(&[], &[]);
    docker(
        &["-H", "tcp://127.0.0.1:2375", "--metrics-addr", "127.0.0.1:9323"],
        &[2375],
    );
    docker(&["--host=tcp://127.0.0.1"], &[2375]);
    docker(&["-H127.0.0.1:8888", "--tls"], &[8888]);
    docker(&["-H", "tcp://0.0.0.0:2375", "--tlsverify"], &[]);
    docker(&["-H", "tcp://0.0.0.0:2375", "--tlsverify=false"], &[2375]);
    docker(&["-H", "unix:///run/docker.sock"], &[]);
    docker(&["-H", "fd://"], &[2375]);
    docker(&["-H", "tcp://127.0.0.1:2376"], &[]);
    let daemon = |text| ("/etc/docker/daemon.json", text);
    check(
        "dockerd",
        &["dockerd"],
        daemon(r#"{"hosts": ["unix:///x", "tcp://:2375"]}"#),
        &[2375],
    );
    check(
        "dockerd",
        &["dockerd"],
        daemon(r#"{"hosts": ["tcp://:2375"], "tlsverify": true}"#),
        &[],
    );
    check("dockerd", &["dockerd"], daemon("{"), &[]);
    check(
        "dockerd",
        &["dockerd", "--config-file=/d"],
        ("/d", r#"{"hosts": ["tcp://:2375"]}"#),
        &[2375],
    );
    check(
        "podman",
        &["podman", "system", "service", "-t0", "tcp:localhost:8888"],
        NONE,
        &[8888],
    );
    check("podman", &["podman", "run", "x", "tcp:localhost:8888"], NONE, &[]);
    let toml = |text| ("/etc/containerd/config.toml", text);
    check(
        "containerd",
        &["containerd"],
        toml("[grpc]\ntcp_address = '127.0.0.1:8888'"),
        &[8888],
    );
    check(
        "containerd",
        &["containerd"],
        toml("[grpc]\ntcp_address = ':8888'\ntcp_tls_ca = '/ca'"),
        &[],
    );
    check(
        "buildkitd",
        &["buildkitd", "--addr", "tcp://0.0.0.0:8888"],
        NONE,
        &[8888],
    );
    check(
        "buildkitd",
        &["buildkitd", "--addr", "tcp://:8888", "--tlscacert", "/ca"],
        NONE,
        &[],
    );
    check("sh", &["dockerd", "-H", "tcp://127.0.0.1:2375"], NONE, &[]);
}

#[test]
fn a_row_is_read_whatever_it_says() {
    for (line, expected) in [
        (
            "0: 0100007F:0947 00000000:0000 0A 0:0 0:0 0 0 0 20 1",
            Some(("127.0.0.1:2375", 20)),
        ),
        (
            "0: 00000000000000000000000001000000:0947 0:0 0A 0:0 0:0 0 0 0 21 1",
            Some(("[::1]:2375", 21)),
        ),
        ("0: 0100007F:0947 00000000:0000 01 0:0 0:0 0 0 0 20 1", None),
        ("0: 0100007F:0947 00000000:0000 0A 0:0 0:0 0 0 0", None),
        ("0: 01:0947 00000000:0000 0A 0:0 0:0 0 0 0 20 1", None),
        ("", None),
    ] {
        let expected = expected.map(|(address, inode): (&str, u64)| (address.parse().unwrap(), inode));
        assert_eq!(row(line.as_bytes()), expected, "{line}");
    }
}
