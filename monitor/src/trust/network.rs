//! Networks in the notation of RFC 4632, as engines list them for registries.
//!
//! Invariant: pure; an address of the other family is in no network, save for IPv4 in its IPv6 form. Used by `docker`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks of a host's own addresses.
pub(super) const LOOPBACK: [Network; 2] = [
    Network {
        address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        bits: 8,
    },
    Network {
        address: IpAddr::V6(Ipv6Addr::LOCALHOST),
        bits: 128,
    },
];

/// A network in the notation of RFC 4632.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// From `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u32 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether an address is in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differing >= self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_shares_its_bits() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", Some(true)),
            ("10.0.0.0/8", "11.0.0.1", Some(false)),
            ("10.1.2.3/32", "10.1.2.3", Some(true)),
            ("0.0.0.0/0", "255.255.255.255", Some(true)),
            ("0.0.0.0/0", "::1", Some(false)),
            ("10.0.0.0/8", "::ffff:10.0.0.1", Some(true)),
            ("2001:db8::/33", "2001:db8:8000::1", Some(false)),
            ("::/0", "::1", Some(true)),
            ("10.0.0.0/33", "10.0.0.1", None),
            ("10.0.0/8", "10.0.0.1", None),
            ("10.0.0.0", "10.0.0.1", None),
            ("example.com/8", "10.0.0.1", None),
        ] {
            let found = Network::parse(network).map(|network| network.contains(address.parse().unwrap()));
            assert_eq!(found, is_in, "{network} {address}");
        }
    }
}
