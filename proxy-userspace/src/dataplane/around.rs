//! Connects of ours whose answer went around us.

use proxy_ebpf::key::Flow;

use super::Dataplane;

impl Dataplane {
    /// The next connect, client to origin, that a program saw refused by the client itself. It
    /// may be told more than once. Without a system call.
    pub fn went_around(&mut self) -> Option<Flow> {
        let record = self.went_around.next()?;
        record.first_chunk().map(Flow::from_memory)
    }
}
