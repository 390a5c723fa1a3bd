//! Which roots are found on hosts that are laid out one way or another.

use super::*;

/// A host with these directories and files (a name with a `=` is a file with what follows as content).
fn host(entries: &[&str]) -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    for entry in entries {
        let (name, content) = entry
            .split_once('=')
            .map_or((*entry, None), |(name, text)| (name, Some(text)));
        let path = directory.path().join(name.trim_start_matches('/'));
        if let Some(content) = content {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        } else {
            std::fs::create_dir_all(path).unwrap();
        }
    }
    let host = Host::new(directory.path());
    (directory, host)
}

fn check(
    entries: &[&str],
    configured: &[&str],
    mounts: &str,
    roots: &[&str],
    problems: &[(ProblemKind, &str)],
) {
    let (_directory, host) = host(entries);
    let configured: Vec<PathBuf> = configured.iter().map(PathBuf::from).collect();
    let mounts = mounts.replace("HOST", host.root().to_str().unwrap());
    let mut met = Vec::new();
    let found = stores(
        &host,
        &configured,
        &MountTable::parse(mounts.as_bytes()),
        &mut met,
    );
    let found: Vec<_> = found.iter().map(|store| store.path.to_str().unwrap()).collect();
    let met: Vec<_> = met
        .iter()
        .map(|problem| (problem.kind, problem.file.as_str()))
        .collect();
    assert_eq!(
        (found.as_slice(), met.as_slice()),
        (roots, problems),
        "{entries:?}"
    );
}

#[test]
fn stores_are_found_where_engines_put_them() {
    use ProblemKind::MissingStore;
    const DEFAULT: &str = "/var/lib/containers/storage";
    check(&[], &[], "", &[], &[]);
    check(&[DEFAULT], &[], "", &[], &[]);
    check(
        &["/var/lib/containers/storage/overlay-layers"],
        &[],
        "",
        &[DEFAULT],
        &[],
    );
    check(&["/s/overlay-images"], &["/s", "/s"], "", &["/s"], &[]);
    let missing = [(MissingStore, "/s"), (MissingStore, "/missing")];
    check(&["/s"], &["/s", "/missing"], "", &[], &missing);
}

#[test]
fn configuration_files_name_roots() {
    let conf = "/etc/containers/storage.conf=[storage]\ngraphroot='/g'\n\
        [storage.options]\nadditionalimagestores=['/a', '$HOME/b', '$X/c']";
    let entries = [
        conf,
        "/usr/share/containers/storage.conf.d/x.conf=[storage]\nimagestore='/i'",
        "/etc/crio/crio.conf=[crio]\nroot='/c'",
        "/g/overlay-layers",
        "/a/overlay-images",
        "/root/b/overlay-images",
        "/i/overlay-layers",
        "/c/overlay-layers",
    ];
    check(&entries, &[], "", &["/g", "/a", "/root/b", "/i", "/c"], &[]);
    let broken = [
        "/etc/containers/storage.conf=storage = [",
        "/etc/docker/daemon.json={",
        "/var/lib/containers/storage/overlay-layers",
        "/s/overlay-layers",
    ];
    let problems = [
        (ProblemKind::Malformed, "/etc/containers/storage.conf"),
        (ProblemKind::Malformed, "/etc/docker/daemon.json"),
    ];
    check(&broken, &[], "", &["/var/lib/containers/storage"], &problems);
    // Who names the roots means these and no others.
    check(&broken, &["/s"], "", &["/s"], &[]);
}

#[test]
fn stores_that_are_not_read_yet_are_said() {
    let entries = [
        "/etc/docker/daemon.json={\"data-root\": \"/d\"}",
        "/d/image/aufs",
        "/etc/containers/storage.conf=[storage]\ngraphroot='/s'",
        "/s/aufs-layers",
        "/s/overlay-layers",
    ];
    let problems = ["/s", "/d"];
    let problems = problems.map(|root| (ProblemKind::UnsupportedStore, root));
    check(&entries, &[], "", &["/s"], &problems);
    // A remapped daemon has a root of its own below the data root.
    let remapped = [
        "/var/lib/docker/100000.100000/image/overlay2",
        "/var/lib/docker/image/overlay2",
        "/var/lib/docker/1.x/image/overlay2",
    ];
    check(
        &remapped,
        &[],
        "",
        &["/var/lib/docker", "/var/lib/docker/100000.100000"],
        &[],
    );
}

#[test]
fn containerd_is_found_wherever_something_embeds_it() {
    let bolt = "io.containerd.metadata.v1.bolt";
    let roots = [
        "/c",
        "/imported",
        "/dropped",
        "/var/lib/containerd",
        "/var/lib/rancher/k3s/agent/containerd",
        "/var/lib/k0s/containerd",
        "/d/containerd/daemon",
        "/mounted",
    ];
    let mut entries: Vec<String> = roots.iter().map(|root| format!("{root}/{bolt}")).collect();
    let config = "version = 2\nroot = '/c'\nimports = ['/etc/more/*.toml', '/one.toml']";
    entries.push(format!("/etc/containerd/config.toml={config}"));
    entries.push("/etc/more/a.toml=root = '/imported'".to_owned());
    entries.push("/etc/containerd/conf.d/b.toml=root = '/dropped'".to_owned());
    entries.push("/etc/docker/daemon.json={\"data-root\": \"/d\"}".to_owned());
    entries.push("/d/image/overlay2".to_owned());
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let mounts = "2 0 0:9 / /run/x rw - overlay overlay rw,\
        lowerdir=/mounted/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs\n";
    let found = [
        "/d",
        "/d/containerd/daemon",
        "/c",
        "/imported",
        "/dropped",
        "/var/lib/containerd",
        "/var/lib/rancher/k3s/agent/containerd",
        "/var/lib/k0s/containerd",
        "/mounted",
    ];
    check(&entries, &[], mounts, &found, &[]);
    check(&entries, &["/d"], mounts, &["/d", "/d/containerd/daemon"], &[]);
}

#[test]
fn mounts_give_stores_away() {
    check(
        &[
            "/m1/overlay-layers",
            "/m2/overlay-layers",
            "/m3/image/overlay2",
            "/m4/image/zfs",
        ],
        &[],
        "1 0 8:1 /x HOST/m1/overlay rw - ext4 /dev/a rw\n\
         2 0 0:9 / /elsewhere rw - overlay overlay rw,lowerdir=l/A:/m2/overlay/l/B,upperdir=/m3/overlay2/x/diff\n\
         3 0 0:10 / HOST/m4/zfs/graph/x rw - zfs tank/docker/x rw\n\
         4 0 0:11 / HOST/zfs rw - zfs tank/zfs rw\n",
        &["/m1", "/m2", "/m3", "/m4"],
        &[],
    );
}

#[test]
fn a_root_that_is_a_loop_of_links_is_a_problem() {
    let (directory, host) = host(&["/s"]);
    std::os::unix::fs::symlink("loop", directory.path().join("loop")).unwrap();
    let mut problems = Vec::new();
    let found = stores(
        &host,
        &[PathBuf::from("/loop")],
        &MountTable::default(),
        &mut problems,
    );
    assert_eq!(found, []);
    let problem = &problems[0];
    assert_eq!(
        (problem.kind, problem.file.as_str()),
        (ProblemKind::Unreadable, "/loop")
    );
    assert_eq!(problem.cause, "/loop goes through more than 40 symbolic links");
}
