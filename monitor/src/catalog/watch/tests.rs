//! The watch on real directories, and on a store that real engines fill.

use std::path::Path;

use tokio::time::timeout;

use super::*;
use crate::catalog::{Catalog, read};
use crate::testing::RealStore;

const QUIET: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(10);

fn start(host: &Host, configured: &[PathBuf]) -> StoreWatch {
    let catalog = read(host, configured);
    StoreWatch::start(host.clone(), targets(host, &catalog, configured), QUIET).unwrap()
}

async fn expect(watch: &mut StoreWatch, event: &StoreEvent) {
    let next = timeout(DEADLINE, watch.next()).await;
    assert_eq!(next.expect("an event").as_ref(), Some(event));
}

/// Nothing more comes in three quiet times.
async fn expect_silence(watch: &mut StoreWatch) {
    assert_eq!(timeout(QUIET * 3, watch.next()).await.ok(), None);
}

fn changed(root: &str) -> StoreEvent {
    StoreEvent::Changed(StoreId::new(&format!("overlay@{root}")))
}

fn replace(host: &Host, file: &str) {
    let path = host.path(file);
    let next = path.with_extension("next");
    std::fs::write(&next, "[]").unwrap();
    std::fs::rename(next, path).unwrap();
}

fn make(host: &Host, directories: &[&str]) {
    for directory in directories {
        std::fs::create_dir_all(host.path(directory)).unwrap();
    }
}

#[tokio::test]
async fn a_burst_of_changes_is_one_event() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    make(
        &host,
        &[
            "/s/overlay-layers",
            "/s/overlay-images",
            "/t/overlay-layers",
            "/t/overlay-images",
        ],
    );
    let mut watch = start(&host, &["/s", "/t"].map(PathBuf::from));
    // Once at the start, because the catalog was read before the watch was there.
    expect(&mut watch, &changed("/s")).await;
    expect(&mut watch, &changed("/t")).await;
    for _ in 0..5 {
        replace(&host, "/s/overlay-layers/layers.json");
        replace(&host, "/s/overlay-images/images.json");
    }
    expect(&mut watch, &changed("/s")).await;
    replace(&host, "/s/overlay-layers/abc.tar-split.gz");
    std::fs::write(host.path("/s/overlay-layers/layers.lock"), "x").unwrap();
    expect_silence(&mut watch).await;
}

#[tokio::test]
async fn a_store_that_appears_goes_and_comes_back_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    let mut watch = start(&host, &[PathBuf::from("/srv/deep/store")]);
    expect_silence(&mut watch).await;
    make(&host, &["/srv/deep", "/unrelated"]);
    expect_silence(&mut watch).await;
    make(
        &host,
        &["/srv/deep/store/overlay-layers", "/srv/deep/store/overlay-images"],
    );
    expect(&mut watch, &changed("/srv/deep/store")).await;
    std::fs::rename(host.path("/srv/deep"), host.path("/srv/away")).unwrap();
    replace(&host, "/srv/away/store/overlay-images/images.json");
    std::fs::rename(host.path("/srv/away"), host.path("/srv/deep")).unwrap();
    expect(&mut watch, &changed("/srv/deep/store")).await;
    std::fs::remove_dir_all(host.path("/srv")).unwrap();
    expect(&mut watch, &changed("/srv/deep/store")).await;
    make(&host, &["/srv/deep/store/overlay-layers"]);
    expect(&mut watch, &changed("/srv/deep/store")).await;
}

#[tokio::test]
async fn a_store_that_appears_while_the_watch_is_set_is_noticed() {
    for _ in 0..50 {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(directory.path());
        let maker = host.clone();
        let made = tokio::task::spawn_blocking(move || make(&maker, &["/a/b/c/d/e/overlay-layers"]));
        let mut watch = start(&host, &[PathBuf::from("/a/b/c/d/e")]);
        made.await.unwrap();
        expect(&mut watch, &changed("/a/b/c/d/e")).await;
    }
}

#[tokio::test]
async fn new_targets_are_watched_and_old_ones_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    make(
        &host,
        &["/s/overlay-layers", "/s/overlay-images", "/t/overlay-layers"],
    );
    let roots = ["/s", "/t"].map(PathBuf::from);
    let mut watch = start(&host, &roots[..1]);
    expect(&mut watch, &changed("/s")).await;
    let both = targets(&host, &read(&host, &roots), &roots);
    watch.retarget(both.clone());
    expect(&mut watch, &changed("/t")).await;
    watch.retarget(both);
    expect_silence(&mut watch).await;
    watch.retarget(targets(&host, &read(&host, &roots[1..]), &roots[1..]));
    expect_silence(&mut watch).await;
    replace(&host, "/s/overlay-layers/layers.json");
    replace(&host, "/t/overlay-layers/layers.json");
    expect(&mut watch, &changed("/t")).await;
    expect_silence(&mut watch).await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_said_once() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    make(&host, &["/s/overlay-images"]);
    std::fs::write(host.path("/s/overlay-layers"), "a file").unwrap();
    let mut watch = start(&host, &[PathBuf::from("/s")]);
    let loss = StoreEvent::Unwatched {
        store: StoreId::new("overlay@/s"),
        directory: PathBuf::from("/s/overlay-layers"),
        reason: UnwatchedReason::Failed,
    };
    expect(&mut watch, &loss).await;
    expect(&mut watch, &changed("/s")).await;
    watch.retarget(targets(&host, &Catalog::default(), &[PathBuf::from("/s")]));
    expect_silence(&mut watch).await;
    let (denied, limit) = (
        std::io::ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull,
    );
    let reasons = [denied, limit].map(|kind| {
        let target = &targets(&host, &Catalog::default(), &[])[0];
        match arming::loss(target, Path::new("/x"), &kind.into()) {
            StoreEvent::Unwatched { reason, .. } => reason.as_str(),
            StoreEvent::Changed(_) | StoreEvent::Overflowed | StoreEvent::Failed { .. } => "",
        }
    });
    assert_eq!(reasons, ["denied", "limit"]);
}

#[tokio::test]
async fn a_real_commit_is_one_change() {
    let Some(store) = RealStore::new("a_real_commit_is_one_change") else {
        return;
    };
    let host = Host::new(store.host_root());
    let roots = [PathBuf::from("/graph")];
    let mut watch = start(&host, &roots);
    let store = tokio::task::spawn_blocking(move || store.with_deleted_key())
        .await
        .unwrap();
    let mut catalog = Catalog::default();
    while catalog.images.len() < 2 {
        expect(&mut watch, &changed("/graph")).await;
        catalog = read(&host, &roots);
    }
    watch.retarget(targets(&host, &catalog, &roots));
    // The image is read as soon as its name is there; the engine still writes after that.
    while timeout(QUIET * 3, watch.next()).await.is_ok() {}
    store.run("podman", &["tag", "localhost/fixture/app:2", "localhost/other:x"]);
    expect(&mut watch, &changed("/graph")).await;
    let renamed = crate::catalog::arrivals(&catalog, &read(&host, &roots));
    assert_eq!(renamed[0].new_names, ["localhost/other:x"]);
    // Whatever Podman wrote is over by now; a reading changes nothing.
    read(&host, &roots);
    expect_silence(&mut watch).await;
}

#[tokio::test]
async fn a_mode_on_the_way_to_a_layer_counts_and_others_do_not() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    make(
        &host,
        &[
            "/a/s/overlay-layers",
            "/a/s/overlay-images",
            "/a/s/overlay/layer/diff",
            "/a/other",
        ],
    );
    let mut watch = start(&host, &[PathBuf::from("/a/s")]);
    expect(&mut watch, &changed("/a/s")).await;
    for (path, counts) in [
        ("/a", true),
        ("/a/s", true),
        ("/a/s/overlay", true),
        ("/a/s/overlay/layer", true),
        ("/a/other", false),
        ("/a/s/overlay-images", false),
    ] {
        std::fs::set_permissions(host.path(path), std::fs::Permissions::from_mode(0o711)).unwrap();
        if counts {
            expect(&mut watch, &changed("/a/s")).await;
        } else {
            expect_silence(&mut watch).await;
        }
    }
}
