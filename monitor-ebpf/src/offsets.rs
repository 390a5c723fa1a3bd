//! Where the running kernel keeps the fields that the programs read.
//!
//! Invariant: filled by the agent from the kernel's BTF before load and frozen as read-only data, so that the verifier
//! sees constants (facts: docs/kernel.md). [`Offsets::ABSENT`] marks a field this kernel does not have.

use bytemuck::{Pod, Zeroable};

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $path:literal,)*) => {
        /// Byte offsets of structure fields; the doc of each is its path in BTF.
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
        pub struct Offsets {
            $(#[doc = concat!("`", $path, "`")] $(#[$doc])* pub $field: u32,)*
            /// 1 where the kernel hands programs the current task with its type (`bpf_get_current_task_btf`, from 5.11
            /// on), so that its fields cost a load each; else 0.
            pub typed_task: u32,
        }

        impl Offsets {
            /// All fields with their path in BTF (`struct.member.member`), in order.
            pub const PATHS: &'static [&'static str] = &[$($path,)*];

            /// The field's place in the order of [`Self::PATHS`].
            pub fn field_mut(&mut self, path: &str) -> Option<&mut u32> {
                match path {
                    $($path => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            /// The offset for a path in BTF.
            pub fn field(&self, path: &str) -> Option<u32> {
                match path {
                    $($path => Some(self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

impl Offsets {
    /// The kernel has no such field.
    pub const ABSENT: u32 = u32::MAX;
}

offsets! {
    file_inode = "file.f_inode",
    file_path_mnt = "file.f_path.mnt",
    file_path_dentry = "file.f_path.dentry",
    backing_user_mnt = "backing_file.user_path.mnt",
    backing_user_dentry = "backing_file.user_path.dentry",
    file_flags = "file.f_flags",
    file_mode = "file.f_mode",
    dentry_parent = "dentry.d_parent",
    dentry_name = "dentry.d_name.name",
    dentry_inode = "dentry.d_inode",
    dentry_sb = "dentry.d_sb",
    dentry_alias = "dentry.d_u.d_alias",
    inode_alias = "inode.i_dentry.first",
    inode_rdev = "inode.i_rdev",
    inode_ino = "inode.i_ino",
    inode_sb = "inode.i_sb",
    inode_mode = "inode.i_mode",
    inode_generation = "inode.i_generation",
    sb_dev = "super_block.s_dev",
    sb_magic = "super_block.s_magic",
    sb_fs_info = "super_block.s_fs_info",
    sb_stack_depth = "super_block.s_stack_depth",
    sb_root = "super_block.s_root",
    vfsmount_sb = "vfsmount.mnt_sb",
    mount_mnt = "mount.mnt",
    mount_ns = "mount.mnt_ns",
    task_cred = "task_struct.cred",
    task_real_cred = "task_struct.real_cred",
    task_files = "task_struct.files",
    task_fs = "task_struct.fs",
    task_nsproxy = "task_struct.nsproxy",
    task_flags = "task_struct.flags",
    task_tgid = "task_struct.tgid",
    task_real_parent = "task_struct.real_parent",
    task_group_leader = "task_struct.group_leader",
    task_start_boottime = "task_struct.start_boottime",
    task_loginuid = "task_struct.loginuid",
    mm_exe_file = "mm_struct.exe_file",
    file_private = "file.private_data",
    socket_sk = "socket.sk",
    sock_family = "sock.__sk_common.skc_family",
    unix_sock_peer = "unix_sock.peer",
    unix_sock_dentry = "unix_sock.path.dentry",
    io_kiocb_file = "io_kiocb.file",
    io_kiocb_opcode = "io_kiocb.opcode",
    io_kiocb_result = "io_kiocb.cqe.res",
    task_thread_info_status = "task_struct.thread_info.status",
    fs_root_mnt = "fs_struct.root.mnt",
    files_fdt = "files_struct.fdt",
    fdtable_fd = "fdtable.fd",
    fdtable_max_fds = "fdtable.max_fds",
    nsproxy_mnt_ns = "nsproxy.mnt_ns",
    mnt_namespace_inum = "mnt_namespace.ns.inum",
    cred_uid = "cred.uid",
    cred_gid = "cred.gid",
    cred_euid = "cred.euid",
    cred_egid = "cred.egid",
    cred_fsuid = "cred.fsuid",
    cred_fsgid = "cred.fsgid",
    cred_user_ns = "cred.user_ns",
    user_ns_inum = "user_namespace.ns.inum",
    user_ns_level = "user_namespace.level",
    user_ns_owner = "user_namespace.owner",
    ovl_inode_vfs_inode = "ovl_inode.vfs_inode",
    ovl_inode_upper = "ovl_inode.__upperdentry",
    ovl_inode_oe = "ovl_inode.oe",
    ovl_inode_lower_path = "ovl_inode.lowerpath.dentry",
    ovl_inode_lower = "ovl_inode.lower",
    ovl_entry_numlower = "ovl_entry.__numlower",
    ovl_entry_lowerstack = "ovl_entry.__lowerstack",
    ovl_path_dentry = "ovl_path.dentry",
    ovl_fs_creator_cred = "ovl_fs.creator_cred",
    btrfs_inode_vfs_inode = "btrfs_inode.vfs_inode",
    btrfs_inode_root = "btrfs_inode.root",
    btrfs_root_anon_dev = "btrfs_root.anon_dev",
    pt_regs_orig_ax = "pt_regs.orig_ax",
    pt_regs_bx = "pt_regs.bx",
    pt_regs_cx = "pt_regs.cx",
    pt_regs_si = "pt_regs.si",
    pt_regs_di = "pt_regs.di",
    pt_regs_r8 = "pt_regs.r8",
    task_pid = "task_struct.pid",
    task_comm = "task_struct.comm",
    task_signal = "task_struct.signal",
    task_mm = "task_struct.mm",
    signal_live = "signal_struct.live",
    mm_arg_start = "mm_struct.arg_start",
    mm_arg_end = "mm_struct.arg_end",
    binprm_file = "linux_binprm.file",
    vfsmount_root = "vfsmount.mnt_root",
    mount_parent = "mount.mnt_parent",
    mount_mountpoint = "mount.mnt_mountpoint",
}
