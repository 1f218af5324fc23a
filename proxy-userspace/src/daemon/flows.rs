//! The live connections, for `weir flows`.

use serde_json::{Value, json};

use super::keeper::Keeper;
use crate::{control::Answer, session::View};

impl Keeper {
    /// All of this process; those of daemons that drain are not among them.
    pub(super) fn flows(&self) -> Answer {
        let views = self.lasting.flows.views();
        Answer::Done(json!({
            "flows": views.into_iter().map(one).collect::<Vec<_>>(),
            "elsewhere": self.generations.active(),
        }))
    }

    pub(super) fn kill_flow(&self, number: usize) -> Answer {
        if self.lasting.flows.kill(number) {
            tracing::info!(number, "flow killed");
            return Answer::Done(Value::Null);
        }
        Answer::refused(format!(
            "no live flow has the number {number}; `weir flows` lists those that there are"
        ))
    }
}

fn one(view: View) -> Value {
    json!({
        "id": view.number,
        "client": view.client,
        "origin": view.origin,
        "age_ms": u64::try_from(view.age.as_millis()).unwrap_or(u64::MAX),
        "state": view.state.as_str(),
        "requests": view.requests,
        "bytes_in": view.bytes_in,
        "bytes_out": view.bytes_out,
        "host": view.host,
    })
}
