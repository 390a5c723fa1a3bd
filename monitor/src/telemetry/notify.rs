//! The agent's word to systemd: ready, alive, stopping (`sd_notify(3)`).
//!
//! Invariant: without a `NOTIFY_SOCKET` nothing is sent, and a notice that cannot be sent is an error for the log, never
//! a reason to stop. Used by `app`; the watchdog notice goes out only while `Health` says that the loop turns.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A notice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Start-up is over.
    Ready,
    /// The loop turns.
    Watchdog,
    /// Shutdown began.
    Stopping,
    /// One line for `systemctl status`.
    Status(String),
}

impl Notice {
    fn text(&self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Watchdog => "WATCHDOG=1".to_owned(),
            Self::Stopping => "STOPPING=1".to_owned(),
            Self::Status(line) => format!("STATUS={}", crate::model::text::printable(line.as_bytes())),
        }
    }
}

/// Why a notice was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The address is neither a path nor an abstract name.
    #[error("address of the notify socket")]
    Address(#[source] std::io::Error),
    /// The socket could not be made.
    #[error("make a socket for notices")]
    Socket(#[source] std::io::Error),
    /// The datagram was not accepted.
    #[error("send {notice} to the service manager")]
    Send {
        /// Which notice.
        notice: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// From the value of `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    pub fn new(notify_socket: Option<&str>) -> Result<Self, NotifyError> {
        let Some(name) = notify_socket.filter(|name| !name.is_empty()) else {
            return Ok(Self { target: None });
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name.as_bytes()),
            None => SocketAddr::from_pathname(name),
        }
        .map_err(NotifyError::Address)?;
        let socket = UnixDatagram::unbound().map_err(NotifyError::Socket)?;
        socket.set_nonblocking(true).map_err(NotifyError::Socket)?;
        Ok(Self {
            target: Some((socket, address)),
        })
    }

    /// Sends one notice.
    pub fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let Some((socket, address)) = &self.target else {
            return Ok(());
        };
        let text = notice.text();
        match socket.send_to_addr(text.as_bytes(), address) {
            Ok(_) => Ok(()),
            Err(source) => Err(NotifyError::Send { notice: text, source }),
        }
    }
}

/// How often to send [`Notice::Watchdog`]: half of `WATCHDOG_USEC`, if it is meant for this process (`WATCHDOG_PID`).
pub fn watchdog_interval(usec: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    match pid.map(str::parse::<u32>) {
        None => {}
        Some(Ok(pid)) if pid == own_pid => {}
        Some(_) => return None,
    }
    Some(Duration::from_micros(usec / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn notices_arrive_at_a_path_and_at_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("layerwatch-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [
            (by_path, path.to_str().unwrap().to_owned()),
            (by_name, format!("@{name}")),
        ] {
            let notifier = Notifier::new(Some(&address)).unwrap();
            for (notice, text) in [
                (Notice::Ready, "READY=1"),
                (Notice::Watchdog, "WATCHDOG=1"),
                (Notice::Status("a\nREADY=1".to_owned()), "STATUS=a\\nREADY=1"),
                (Notice::Stopping, "STOPPING=1"),
            ] {
                notifier.send(&notice).unwrap();
                assert_eq!(received(&socket), text);
            }
        }
    }

    #[test]
    fn without_a_manager_nothing_is_sent_and_a_dead_one_is_an_error() {
        assert!(Notifier::new(None).unwrap().send(&Notice::Ready).is_ok());
        assert!(Notifier::new(Some("")).unwrap().send(&Notice::Ready).is_ok());
        let gone = Notifier::new(Some("@layerwatch-nobody-listens")).unwrap();
        assert!(matches!(gone.send(&Notice::Ready), Err(NotifyError::Send { .. })));
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_asked() {
        let half = Some(Duration::from_secs(15));
        for (usec, pid, interval) in [
            (Some("30000000"), Some("7"), half),
            (Some("30000000"), None, half),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some("x"), None),
            (Some("0"), Some("7"), None),
            (Some("soon"), None, None),
            (None, None, None),
        ] {
            assert_eq!(watchdog_interval(usec, pid, 7), interval, "{usec:?} {pid:?}");
        }
    }
}
