//! What a request's Host has to do with the address that its client dialled.

use std::net::{IpAddr, SocketAddr};

/// One word each, as in the access log and in `weir status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostLabel {
    /// Host names the dialled address and port: as an address literal, or by DNS.
    Verified,
    /// Nobody has said: a name that was not, or could not be, resolved, or no Host at all.
    Unverified,
    /// Host names another address, another port, or a name that has other addresses only.
    Mismatch,
}

impl HostLabel {
    /// Every one, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Unverified, Self::Mismatch];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Mismatch => "mismatch",
        }
    }

    /// By the addresses that the name in Host has; none are no answer.
    #[must_use]
    pub fn by_addresses(addresses: &[IpAddr], origin: SocketAddr) -> Self {
        if addresses.is_empty() {
            Self::Unverified
        } else if addresses.contains(&origin.ip()) {
            Self::Verified
        } else {
            Self::Mismatch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_decide_if_there_are_any() {
        let origin = "203.0.113.7:80".parse().unwrap();
        let [same, other] = ["203.0.113.7", "203.0.113.8"].map(|ip| ip.parse().unwrap());
        let by = HostLabel::by_addresses;
        assert_eq!(by(&[], origin), HostLabel::Unverified);
        assert_eq!(by(&[other, same], origin), HostLabel::Verified);
        assert_eq!(by(&[other], origin), HostLabel::Mismatch);
    }

    #[test]
    fn each_has_the_slot_of_its_position() {
        for (position, label) in HostLabel::ALL.into_iter().enumerate() {
            assert_eq!(label as usize, position);
        }
    }
}
