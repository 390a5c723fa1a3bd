//! The closed sets that metrics are labelled with.
//!
//! Invariant: a label value comes from an enum of this module or of `model`, never from outside, so the number of time
//! series is known when the program is compiled. Used by `metrics` and by whoever reports a happening.

use crate::model::{AlertKind, Category, Driver, Engine, Provenance, Sanction, Severity};

/// A closed set of values under one label name.
pub trait Label: Copy + Ord + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// All values.
    const VALUES: &'static [Self];
    /// The value as it is printed.
    fn value(self) -> &'static str;
}

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident as $label:literal { $($(#[$variant_doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const VALUES: &'static [Self] = &[$(Self::$variant,)+];
            fn value(self) -> &'static str {
                match self { $(Self::$variant => $value,)+ }
            }
        }
    };
}

macro_rules! model_set {
    ($($name:ident as $label:literal,)+) => {$(
        impl Label for $name {
            const NAME: &'static str = $label;
            const VALUES: &'static [Self] = &Self::ALL;
            fn value(self) -> &'static str {
                self.as_str()
            }
        }
    )+};
}

model_set! {
    AlertKind as "alert",
    Provenance as "provenance",
    Sanction as "sanction",
    Severity as "severity",
}

impl Label for Category {
    const NAME: &'static str = "category";
    const VALUES: &'static [Self] = &Self::COUNTED;
    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Driver {
    const NAME: &'static str = "driver";
    const VALUES: &'static [Self] = &Self::COUNTED;
    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Engine {
    const NAME: &'static str = "engine";
    const VALUES: &'static [Self] = &Self::COUNTED;
    fn value(self) -> &'static str {
        self.as_str()
    }
}

closed_set! {
    /// How the kernel is watched (ARCHITECTURE.md, "Kernel side").
    Tier as "tier" {
        /// `lsm/file_open`.
        A = "A",
        /// `fexit` on the security functions.
        B = "B",
        /// kprobes on the same functions.
        C = "C",
        /// System call exit.
        D = "D",
    }
}

closed_set! {
    /// A place in the kernel where a program looks, whatever the tier; the order is that of `layerwatch_ebpf::hooks`.
    Hook as "hook" {
        /// A file is opened.
        Open = "open",
        /// A name is moved.
        Rename = "rename",
        /// A file is mapped.
        Map = "map",
        /// An open file is read.
        Read = "read",
        /// A descriptor arrives over a socket.
        Receive = "receive",
        /// A request of `io_uring` is done.
        IoUring = "io-uring",
        /// Descriptors that a process holds.
        Descriptors = "descriptors",
        /// A process begins, executes a program or ends.
        Process = "process",
        /// An engine's socket is connected to.
        Connect = "connect",
    }
}

impl Hook {
    /// The hook with this number in `layerwatch_ebpf::hooks`.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::VALUES.get(usize::from(number)).copied()
    }

    /// Whether the place sees accesses to files, which may be the agent's own, repeats, or too deep to be judged; an index
    /// that is renamed, a process and a connection are none of that, and have no series for it.
    pub fn sees_files(self) -> bool {
        !matches!(self, Self::Rename | Self::Process | Self::Connect)
    }
}

impl KernelOutcome {
    /// Whether it can come of an event at this place.
    pub fn is_of(self, hook: Hook) -> bool {
        match self {
            Self::Own => hook.sees_files() || hook == Hook::Connect,
            Self::Repeated => hook.sees_files(),
            // Only connections to watched sockets are seen.
            Self::Ignored => hook != Hook::Connect,
            Self::Emitted | Self::RingFull => true,
        }
    }
}

impl KernelGap {
    /// Whether it can hide an event at this place.
    pub fn is_of(self, hook: Hook) -> bool {
        match hook {
            Hook::Open => true,
            // Beside the open a program that was left out is told by `EventsLost` alone.
            Hook::IoUring => self != Self::LeftOut,
            // Only opens are followed up to the root.
            Hook::Receive
            | Hook::Descriptors
            | Hook::Rename
            | Hook::Map
            | Hook::Read
            | Hook::Process
            | Hook::Connect => false,
        }
    }
}

closed_set! {
    /// What became of an event in the kernel; together they are all that the hook saw.
    KernelOutcome as "outcome" {
        /// No watch was met.
        Ignored = "ignored",
        /// It was the agent's own.
        Own = "own",
        /// It went into the ring.
        Emitted = "emitted",
        /// Reported before: ordinary content a moment ago, a read by the same process and user.
        Repeated = "repeated",
        /// The ring had no room: it is lost.
        RingFull = "ring-full",
    }
}

closed_set! {
    /// What a kernel program could not look at.
    KernelGap as "reason" {
        /// The walk to the root ended early.
        WalkTruncated = "walk-truncated",
        /// A structure could not be read.
        ReadError = "read-error",
        /// The kernel ran no program: another task was interrupted inside it.
        LeftOut = "left-out",
    }
}

closed_set! {
    /// A station of the event plane.
    Stage as "stage" {
        /// Bytes to an access.
        Decode = "decode",
        /// Process, container, user.
        Enrich = "enrich",
        /// Attribute, judge, park.
        Correlate = "correlate",
        /// Sanctions, repeats, alerts.
        Decide = "decide",
    }
}

closed_set! {
    /// What a stage did with an event: received = forwarded + filtered + parked + dropped.
    StageOutcome as "outcome" {
        /// It came in.
        Received = "received",
        /// It went on to the next stage.
        Forwarded = "forwarded",
        /// It ends here by design.
        Filtered = "filtered",
        /// It waits for knowledge.
        Parked = "parked",
        /// It is lost; `layerwatch_stage_dropped_total` has the reason.
        Dropped = "dropped",
    }
}

closed_set! {
    /// Why a stage lost an event.
    DropReason as "reason" {
        /// A frame of the wrong length.
        FrameLength = "frame-length",
        /// A frame of another wire version.
        FrameVersion = "frame-version",
        /// A frame with a value that has no meaning.
        FrameContent = "frame-content",
        /// The table of processes had no room: should that process be gone at its next access, it has no name.
        ProcessTableFull = "process-table-full",
        /// Processes whose open files could not be listed at the start, and files that found no room in the list.
        OpenFiles = "open-files",
        /// A sign of a pull that nobody takes: of no known store, or one too many.
        PullSignal = "pull-signal",
        /// Nothing more can wait.
        ParkingFull = "parking-full",
    }
}

impl DropReason {
    /// The only stage that drops for this reason.
    pub fn stage(self) -> Stage {
        match self {
            Self::FrameLength
            | Self::FrameVersion
            | Self::FrameContent
            | Self::ProcessTableFull
            | Self::OpenFiles => Stage::Decode,
            Self::PullSignal => Stage::Enrich,
            Self::ParkingFull => Stage::Correlate,
        }
    }
}

closed_set! {
    /// Which part of building knowledge failed.
    KnowledgePart as "reason" {
        /// Reading the stores.
        Catalog = "catalog",
        /// Looking for secrets.
        Scan = "scan",
        /// Reading modes.
        Exposure = "exposure",
        /// Judging images.
        Trust = "trust",
    }
}

closed_set! {
    /// Where records go.
    SinkName as "sink" {
        /// JSON lines.
        JsonLog = "json-log",
        /// Alertmanager.
        Alertmanager = "alertmanager",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use layerwatch_ebpf::hooks;

    #[test]
    fn hooks_stand_in_the_wires_order() {
        for (number, hook) in [
            (hooks::OPEN, Some(Hook::Open)),
            (hooks::RENAME, Some(Hook::Rename)),
            (hooks::MAP, Some(Hook::Map)),
            (hooks::READ, Some(Hook::Read)),
            (hooks::RECEIVE, Some(Hook::Receive)),
            (hooks::IO_URING, Some(Hook::IoUring)),
            (hooks::DESCRIPTORS, Some(Hook::Descriptors)),
            (hooks::PROCESS, Some(Hook::Process)),
            (hooks::CONNECT, Some(Hook::Connect)),
            (hooks::CONNECT + 1, None),
        ] {
            if let Some(hook) = hook {
                assert_eq!(hook.value(), crate::kernel::place_name(number));
            }
            assert_eq!(Hook::from_wire(number), hook);
        }
    }

    fn check_values<L: Label>() {
        let mut values: Vec<&str> = L::VALUES.iter().map(|value| value.value()).collect();
        let count = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), count, "{} has a value twice", L::NAME);
        assert!(
            values
                .iter()
                .all(|v| v.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        );
    }

    #[test]
    fn no_value_stands_for_two_things() {
        check_values::<AlertKind>();
        check_values::<Category>();
        check_values::<Driver>();
        check_values::<DropReason>();
        check_values::<Engine>();
        check_values::<Hook>();
        check_values::<KernelOutcome>();
        check_values::<KnowledgePart>();
        check_values::<Provenance>();
        check_values::<Sanction>();
        check_values::<SinkName>();
        check_values::<Stage>();
        check_values::<StageOutcome>();
    }
}
