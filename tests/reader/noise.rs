//! One read among the opens of many threads.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::opens::parts;
use crate::reads::whole;
use crate::user::become_user;
use crate::{Place, Way};

const THREADS: usize = 200;
const OPENS: usize = 20;

pub(crate) const WAYS: [(&str, Way); 1] = [("noise", noise)];

/// The other threads open the ordinary file beside it, before, while and after this one reads.
fn noise(place: &Place) -> Result<Vec<u8>> {
    become_user()?;
    let (directory, _) = parts(place)?;
    let ordinary = directory.join("motd");
    let done = AtomicBool::new(false);
    let open = || -> Result<usize> {
        let mut opened = 0;
        while opened < OPENS || !done.load(Ordering::Relaxed) {
            File::open(&ordinary).context("open the ordinary file")?;
            opened += 1;
        }
        Ok(opened)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, open))
            .collect::<Result<_, _>>()?;
        let content = File::open(&place.file)
            .map_err(Into::into)
            .and_then(|file| whole(&file));
        done.store(true, Ordering::Relaxed);
        for thread in threads {
            let opened = thread.join().ok().context("a thread broke")??;
            ensure!(opened >= OPENS, "{opened} opens of a thread");
        }
        content
    })
}
