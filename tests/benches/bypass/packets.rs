//! TCP segments as an interface receives them.

use proxy_ebpf::key::IPV4;
use proxy_userspace::dataplane::bypass::Bits;

/// Link-layer address.
pub(crate) type Mac = [u8; 6];

/// What a segment says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) family: u32,
    pub(crate) from: Bits,
    pub(crate) to: Bits,
    pub(crate) source_port: u16,
    pub(crate) port: u16,
    /// [`SYN`] or [`ACK`].
    pub(crate) flags: u8,
}

pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

impl Segment {
    /// The frame, for the interface with this address. Checksums are 0: nobody looks at them.
    pub(crate) fn frame(&self, interface: Mac) -> Vec<u8> {
        let mut frame = Vec::with_capacity(74);
        frame.extend(interface);
        frame.extend([2, 0, 0, 0, 0, 1]);
        if self.family == IPV4 {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
            frame.extend(&self.from.0.to_be_bytes()[..4]);
            frame.extend(&self.to.0.to_be_bytes()[..4]);
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
            for Bits(high, low) in [self.from, self.to] {
                frame.extend(high.to_be_bytes());
                frame.extend(low.to_be_bytes());
            }
        }
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend([
            0, 0, 0, 1, 0, 0, 0, 0, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0,
        ]);
        frame
    }
}
