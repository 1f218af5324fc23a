//! What a network interface is.

use proxy_userspace::lab::Namespace;

/// The MAC address of an interface.
///
/// # Panics
///
/// When there is no such interface, or it has none.
#[must_use]
pub fn mac(namespace: &Namespace, interface: &str) -> [u8; 6] {
    let shown = namespace
        .ip(&["-o", "link", "show", "dev", interface])
        .unwrap();
    let words: Vec<_> = shown.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "link/ether").unwrap();
    let octets = words[at + 1].split(':');
    let octets: Vec<_> = octets
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    octets.try_into().unwrap()
}
