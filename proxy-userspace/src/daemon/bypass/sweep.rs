//! What happens to entries without anybody's word: they end.

use super::Lists;
use crate::{
    bypass::{Edit, Timestamp},
    dataplane::Dataplane,
    observe::Seldom,
};

impl Lists {
    /// Removes entries that have ended, which the kernel has not heeded since, and tells the
    /// kernel when they end if the clock has been set.
    pub(in crate::daemon) fn sweep(&mut self, dataplane: &mut Dataplane) {
        if self.translation.look_at_clock() {
            tracing::info!("the clock has been set: the ends of bypass entries are told anew");
            self.tell_ends(dataplane);
        }
        let now = Timestamp::now();
        if self.next_end.is_none_or(|end| now < end) {
            return;
        }
        for name in self.names() {
            match self.apply(Some(dataplane), &name, Edit::Expire(now)) {
                Ok(change) => {
                    for entry in &change.removed {
                        static TOLD: Seldom = Seldom::new(20);
                        if let Some(held_back) = TOLD.pass() {
                            tracing::info!(
                                list = %name, %entry, held_back, "the bypass entry has ended"
                            );
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(list = %name, %error, "ended bypass entries are kept for now");
                }
            }
        }
        // Behind now, even if it could not be done: the next edit or the next end tries again.
        let ends = self.set.iter().filter_map(|(_, entry)| entry.expires());
        self.next_end = ends.filter(|end| *end > now).min();
    }

    fn tell_ends(&mut self, dataplane: &mut Dataplane) {
        for name in self.names() {
            let number = self.translation.number(&name);
            let list = self.set.list(&name).into_iter();
            let entries = list.flat_map(crate::bypass::List::iter);
            for entry in entries.filter(|entry| entry.expires().is_some()) {
                for record in self.translation.records(number, &entry) {
                    dataplane.set_bypass_expiry(&record, record.expires);
                }
            }
        }
    }
}
