//! Netlink attributes of nfnetlink: numbers are in network order.

/// Type and value of each, as far as they are whole.
pub fn all(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` are no part of the type.
    const NLA_TYPE_MASK: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(ne16(bytes)?);
        let kind = ne16(bytes.get(2..)?)? & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first of that type.
#[must_use]
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    all(bytes).find_map(|(it, value)| (it == kind).then_some(value))
}

/// Numbers of four octets.
#[must_use]
pub fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    be32(find(bytes, kind)?)
}

/// Text, with or without a NUL behind it.
#[must_use]
pub fn text(bytes: &[u8], kind: u16) -> Option<String> {
    find(bytes, kind).map(string)
}

/// Text in a value, with or without a NUL behind it.
#[must_use]
pub fn string(value: &[u8]) -> String {
    let end = value.iter().position(|octet| *octet == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// A number of four octets, in network order.
#[must_use]
pub fn be32(value: &[u8]) -> Option<u32> {
    value.get(..4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The same in host order.
#[must_use]
pub fn ne32(value: &[u8]) -> Option<u32> {
    value.get(..4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// A number of two octets, in network order.
#[must_use]
pub fn be16(value: &[u8]) -> Option<u16> {
    value.get(..2)?.try_into().ok().map(u16::from_be_bytes)
}

/// The same in host order.
#[must_use]
pub fn ne16(value: &[u8]) -> Option<u16> {
    value.get(..2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// Writing them, for requests and tests.
pub fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
