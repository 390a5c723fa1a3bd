//! Who reads: giving rights up, before the open, for it, or in a user namespace.

use std::fs::File;

use anyhow::{Context as _, Result};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{Gid, Uid, UnshareFlags};

use crate::reads::whole;
use crate::{Way, absent_for, calls};

/// The user that reads.
pub(crate) const READER: u32 = 1000;

pub(crate) const WAYS: [(&str, Way); 4] = [
    ("seteuid", |place| {
        rustix::thread::set_thread_res_uid(None, uid(), None).context("seteuid")?;
        whole(&File::open(&place.file)?)
    }),
    ("setfsuid", |place| {
        filesystem_user()?;
        whole(&File::open(&place.file)?)
    }),
    ("open-then-setresuid", |place| {
        let file = File::open(&place.file)?;
        become_user()?;
        whole(&file)
    }),
    ("user-namespace-root", |place| {
        become_user()?;
        user_namespace(UnshareFlags::empty())?;
        anyhow::ensure!(rustix::process::geteuid().is_root(), "not root of the namespace");
        whole(&File::open(&place.file)?)
    }),
];

fn uid() -> Uid {
    Uid::from_raw(READER)
}

/// Becomes the reader for good: groups, gid, uid; other processes of the same user may look at this one.
pub(crate) fn become_user() -> Result<()> {
    let gid = Gid::from_raw(READER);
    rustix::thread::set_thread_groups(&[]).context("drop the groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).context("change the group")?;
    rustix::thread::set_thread_res_uid(uid(), uid(), uid()).context("change the user")?;
    set_dumpable_behavior(DumpableBehavior::Dumpable).context("let others look at this process")
}

/// `setfsuid`, which alone decides what files may be opened.
fn filesystem_user() -> Result<()> {
    // SAFETY: numbers only. The call gives the former id, never an error.
    unsafe {
        calls::call(libc::SYS_setfsuid, [READER as usize])?;
        let now = calls::call(libc::SYS_setfsuid, [READER as usize])?;
        anyhow::ensure!(now == READER as usize, "the file-system user is {now}");
    }
    Ok(())
}

/// A user namespace of the reader's own, in which it is root; `more` namespaces belong to it.
pub(crate) fn user_namespace(more: UnshareFlags) -> Result<()> {
    // SAFETY: no descriptor table is unshared, and there is one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | more) }.map_err(|error| {
        let error = std::io::Error::from(error);
        absent_for(error, &[libc::EPERM], "no user namespaces made by users")
    })?;
    std::fs::write("/proc/self/setgroups", "deny").context("deny setgroups")?;
    std::fs::write("/proc/self/uid_map", format!("0 {READER} 1")).context("map the user")?;
    std::fs::write("/proc/self/gid_map", format!("0 {READER} 1")).context("map the group")
}
