//! The object with the kernel programs, taken into the agent by its build script.
//!
//! `None` in a build without the BPF toolchain: such an agent works on recordings and stores, and says that it holds
//! no kernel programs when asked to trace. The bytes are aligned for the ELF headers that the loader reads in place.

/// The ELF object, or `None` if this agent was built without `cargo xtask build`.
#[cfg(kernel_programs)]
pub(crate) const OBJECT: Option<&[u8]> = Some(&ALIGNED.0);

/// The ELF object, or `None` if this agent was built without `cargo xtask build`.
#[cfg(not(kernel_programs))]
pub(crate) const OBJECT: Option<&[u8]> = None;

#[cfg(kernel_programs)]
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

#[cfg(kernel_programs)]
static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/layerwatch-ebpf.o")));

#[cfg(all(test, kernel_programs))]
mod tests {
    use super::*;

    #[test]
    fn object_is_an_aligned_bpf_elf() {
        let object = OBJECT.unwrap();
        assert_eq!(object.as_ptr().align_offset(16), 0);
        assert_eq!(object[..6], *b"\x7fELF\x02\x01", "64 bit, little-endian");
        assert_eq!(object[18..20], 247_u16.to_le_bytes(), "EM_BPF");
    }
}
