//! What is searched: a file by position, or an entry of an archive as a stream.
//!
//! Invariant: a source ends; a stream is read forward only. Read by `read`, made by `run`.

/// Something that is searched from its beginning to its end.
pub(super) trait Source {
    /// The next run of bytes that are not a hole, from `at`; its end may be an upper bound.
    fn segment(&mut self, at: u64) -> Option<(u64, u64)>;

    /// Reads at a place; a stream is asked for ascending places only.
    fn read(&mut self, buffer: &mut [u8], at: u64) -> std::io::Result<usize>;

    /// Whether what was read may be a mixture.
    fn has_changed(&self) -> bool;
}

/// An entry of an archive; it begins with what was read of it already.
pub(super) struct Streamed<'r> {
    reader: &'r mut dyn std::io::Read,
}

impl<'r> Streamed<'r> {
    pub(super) fn new(reader: &'r mut dyn std::io::Read) -> Self {
        Self { reader }
    }
}

impl Source for Streamed<'_> {
    fn segment(&mut self, at: u64) -> Option<(u64, u64)> {
        (at == 0).then_some((0, u64::MAX))
    }

    fn read(&mut self, buffer: &mut [u8], _at: u64) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }

    fn has_changed(&self) -> bool {
        false
    }
}
