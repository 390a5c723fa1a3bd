//! Nothing is lost but what is counted: many opens with few findings among them, and more reads of findings than the ring
//! holds.

mod here;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use layerwatch_ebpf::{hooks, kinds};
use rustix::process::Uid;

use crate::fixture::{Layer, USER};

const THREADS: usize = 4;

/// Opens and reads `total` files as the user, in threads that share the work; how long it took.
fn read_as_user<'a>(total: usize, file: impl Fn(usize) -> &'a Path + Sync) -> Result<Duration> {
    let begun = Instant::now();
    let work = |first: usize| {
        let user = Uid::from_raw(USER);
        // The thread's own ids alone, which end with it.
        rustix::thread::set_thread_res_uid(user, user, user).context("become the user")?;
        let mut bytes = [0; 8];
        for number in (first..total).step_by(THREADS) {
            let path = file(number);
            let mut file = File::open(path).with_context(|| path.display().to_string())?;
            std::io::Read::read_exact(&mut file, &mut bytes)?;
        }
        anyhow::Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || work(first)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            let ended = worker.join();
            ended.map_err(|_panic| anyhow!("a reader died"))?
        })
    })?;
    Ok(begun.elapsed())
}

#[test]
fn what_the_full_ring_refuses_is_counted() -> Result<()> {
    // More than the ring holds, and nobody takes anything out.
    const READS: usize = 20_000;
    let mut layer = Layer::new()?;
    layer.records()?;
    let ring_full = |layer: &mut Layer| -> Result<u64> {
        let counters = layer.maps().counters()?;
        let open = counters.iter().find(|place| place.number == hooks::OPEN);
        Ok(open.context("no counters of opens")?.counters.ring_full)
    };
    let before = ring_full(&mut layer)?;
    let secret = layer.path("lower/etc/secret.key");
    read_as_user(READS, |_| &secret).context("read the secret")?;
    let lost = ring_full(&mut layer)? - before;
    let records = layer.drain();
    let opens = records.iter().filter(|record| record.kind == kinds::OPEN_FINDING);
    let ids: BTreeSet<_> = opens.map(|record| (record.cpu, record.sequence)).collect();
    assert_eq!(ids.len() + usize::try_from(lost)?, READS);
    ensure!(lost > 0, "the ring took everything");
    Ok(())
}
