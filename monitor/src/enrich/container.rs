//! The container behind a cgroup path: the names that engines give to their cgroups, version 1 and 2, made by systemd
//! or by the engine itself.
//!
//! Invariant: pure and total. A name proves nothing in favour of a process, since users own cgroups too: nothing is
//! ever sanctioned for being in a container. Used by `Enricher`.

use crate::model::Container;
use crate::model::text::printable;

/// `<prefix><id>.scope` (systemd) or `<prefix><id>` (cgroupfs): which runtime names its containers so.
///
/// moby `daemon/oci_linux.go`, podman `libpod/container_internal_linux.go`, cri-o `internal/config/cgmgr`,
/// containerd `internal/cri/server/podsandbox`, nerdctl `pkg/cmd/container`.
const PREFIXES: [(&str, &str); 5] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("crio-", "cri-o"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
];

/// The container that a process of these cgroups is in, from the text of `/proc/PID/cgroup`; the innermost one.
pub fn container_of(cgroups: &str) -> Option<Container> {
    cgroups.lines().filter_map(path_of_line).find_map(container_in)
}

/// The path to show: version 2's unless it is the root, else the first that is not.
///
/// Absent where every line says the root: a process that is about to be gone has left its version 1 cgroups already
/// (`proc_cgroup_show`, kernel/cgroup/cgroup.c), a container's too, so the root says nothing.
pub(super) fn own_path(cgroups: &str) -> Option<String> {
    let mut paths = cgroups.lines().rev().filter_map(path_of_line);
    let own = paths.find(|path| *path != "/")?;
    Some(printable(own.as_bytes()).to_string())
}

/// `hierarchy:controllers:path` (cgroups(7)); the path may hold colons.
fn path_of_line(line: &str) -> Option<&str> {
    line.splitn(3, ':').nth(2)
}

fn container_in(path: &str) -> Option<Container> {
    let mut parent = "";
    let mut found = None;
    let mut pod = None;
    for component in path.split('/').filter(|component| !component.is_empty()) {
        pod = pod_of(component).or(pod);
        if let Some((id, runtime)) = name_of(component, parent, pod.is_some()) {
            found = Some((id, runtime));
        }
        parent = component;
    }
    let (id, runtime) = found?;
    Some(Container {
        id: printable(id.as_bytes()).to_string(),
        runtime: runtime.to_owned(),
        pod,
    })
}

/// The container that one component names.
fn name_of<'a>(component: &'a str, parent: &str, in_pod: bool) -> Option<(&'a str, &'static str)> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    // A systemd path that a cgroupfs driver took for a name: `<slice>:<prefix>:<id>` (containerd, runc).
    if let Some((before, id)) = bare.rsplit_once(':') {
        let named = before.rsplit(':').next().unwrap_or_default();
        let row = PREFIXES
            .iter()
            .find(|(prefix, _)| prefix.strip_suffix('-') == Some(named));
        return row.filter(|_| is_id(id)).map(|(_, runtime)| (id, *runtime));
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = bare.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((id, runtime));
        }
    }
    if let Some(id) = bare.strip_prefix("lxc.payload.") {
        return Some((id, "lxc"));
    }
    match parent {
        "docker" if is_id(bare) => Some((bare, "docker")),
        "buildkit" if bare.len() == 25 => Some((bare, "buildkit")),
        "buildkit" | "docker" | "lxc" if bare == "buildkit" => None,
        "lxc" => Some((bare, "lxc")),
        _ if is_full_id(bare) && in_pod => Some((bare, "kubernetes")),
        _ if is_full_id(bare) => Some((bare, "unknown")),
        _ => None,
    }
}

/// `pod<uid>` (cgroupfs) or `kubepods-<class>-pod<uid>.slice` (systemd, where `_` stands for `-`).
fn pod_of(component: &str) -> Option<String> {
    let bare = component.split(':').next().unwrap_or(component);
    let bare = bare.strip_suffix(".slice").unwrap_or(bare);
    let (before, uid) = bare.rsplit_once("pod")?;
    let named = before.is_empty() || (before.starts_with("kubepods") && before.ends_with('-'));
    let hex = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let shaped = hex == 32
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'));
    (named && shaped).then(|| uid.replace('_', "-"))
}

fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_full_id(text: &str) -> bool {
    text.len() == 64 && is_id(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b5ac5e1-8d61-4d5c-a8a4-2a2ff5a3a7f5";

    /// `{I}` stands for a container id, `{P}` and `{U}` for a pod's uid with `-` and with `_`.
    fn check(path: &str, runtime: Option<&str>, in_pod: bool) {
        let id = "0123456789abcdef".repeat(4);
        let text = path
            .replace("{I}", &id)
            .replace("{P}", UID)
            .replace("{U}", &UID.replace('-', "_"));
        let expected = runtime.map(|runtime| Container {
            id,
            runtime: runtime.to_owned(),
            pod: in_pod.then(|| UID.to_owned()),
        });
        assert_eq!(container_of(&text), expected, "{text}");
    }

    #[test]
    fn engines_names_are_known() {
        check("0::/system.slice/docker-{I}.scope", Some("docker"), false);
        check("0::/docker/{I}", Some("docker"), false);
        check(
            "12:memory:/docker/{I}\n1:name=systemd:/docker/{I}\n0::/",
            Some("docker"),
            false,
        );
        check("0::/machine.slice/libpod-{I}.scope", Some("podman"), false);
        check(
            "0::/machine.slice/libpod-{I}.scope/container",
            Some("podman"),
            false,
        );
        check("0::/libpod_parent/libpod-{I}", Some("podman"), false);
        check(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{I}.scope/container",
            Some("podman"),
            false,
        );
        check("0::/system.slice/nerdctl-{I}.scope", Some("containerd"), false);
        check("0::/default/{I}", Some("unknown"), false);
        check("0::/actions_job/{I}", Some("unknown"), false);
        check("0::/../../docker/{I}", Some("docker"), false);
        check("0::/docker/ffffffffffff/docker/{I}", Some("docker"), false);
    }

    #[test]
    fn pods_are_known() {
        check(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{U}.slice/cri-containerd-{I}.scope",
            Some("containerd"),
            true,
        );
        check(
            "0::/kubepods.slice/kubepods-pod{U}.slice/crio-{I}.scope",
            Some("cri-o"),
            true,
        );
        check(
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{U}.slice/docker-{I}.scope",
            Some("docker"),
            true,
        );
        check("0::/kubepods/burstable/pod{P}/{I}", Some("kubernetes"), true);
        check(
            "4:memory:/kubepods/besteffort/pod{P}/{I}\n0::/",
            Some("kubernetes"),
            true,
        );
        check(
            "0::/system.slice/containerd.service/kubepods-burstable-pod{U}.slice:cri-containerd:{I}",
            Some("containerd"),
            true,
        );
    }

    #[test]
    fn the_rest_is_no_container() {
        for path in [
            "0::/",
            "0::/system.slice/docker.service",
            "0::/user.slice/user-1000.slice/session-1.scope",
            "0::/machine.slice/libpod-conmon-{I}.scope",
            "0::/kubepods.slice/crio-conmon-{I}.scope",
            "0::/system.slice/docker-short.scope",
            "0::/kubepods/burstable/pod{P}",
            "no colons",
            "",
            "0::",
        ] {
            check(path, None, false);
        }
    }

    #[test]
    fn lxc_and_buildkit_have_names_of_their_own() {
        for (path, id, runtime) in [
            ("0::/lxc.payload.web/system.slice", "web", "lxc"),
            ("3:memory:/lxc/web\n0::/", "web", "lxc"),
            (
                "0::/docker/buildkit/k3v7y5q9m1x2c4b6n8z0a1s3d",
                "k3v7y5q9m1x2c4b6n8z0a1s3d",
                "buildkit",
            ),
            ("0::/lxc.payload.a\u{1b}[31m", "a\\x1b[31m", "lxc"),
        ] {
            let found = container_of(path).unwrap();
            assert_eq!(
                (found.id.as_str(), found.runtime.as_str()),
                (id, runtime),
                "{path}"
            );
        }
    }

    #[test]
    fn the_shown_path_is_the_one_that_says_something() {
        for (text, shown) in [
            ("0::/a.slice", Some("/a.slice")),
            ("4:memory:/x\n0::/", Some("/x")),
            ("4:memory:/x\n0::/y", Some("/y")),
            ("4:memory:/\n0::/", None),
            ("0::/", None),
            ("", None),
            ("junk", None),
        ] {
            assert_eq!(own_path(text).as_deref(), shown, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            container_of(&text);
            own_path(&text);
        }
    }
}
