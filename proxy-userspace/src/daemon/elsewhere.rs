//! What is asked of earlier daemons, whose connections have not ended yet: their flows are listed,
//! and can be ended, as this one's own; and the hits that they counted are counted on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{flows::Shown, keeper::Keeper};
use crate::{
    bypass::{Key, ListName},
    control::{Answer, ListEdit, Request},
    session::Flows,
};

/// So many are ended at once: a daemon is told in one go, or not at all.
const ENDED: usize = 1000;

/// How often an entry of a list decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) list: ListName,
    pub(super) key: Key,
    pub(super) count: u64,
    /// When the last time, `CLOCK_BOOTTIME` nanoseconds.
    pub(super) last: u64,
}

/// What one daemon asks another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Question {
    /// Its live connections.
    Flows,
    /// Whether it has one of that number, which ends then.
    Kill(usize),
    /// How many of these end, since they are bypassed.
    End(Vec<usize>),
}

impl Question {
    /// What a daemon with these flows says.
    pub(super) fn answer(&self, flows: &Flows) -> Value {
        match self {
            Self::Flows => {
                let shown: Vec<_> = flows.views().into_iter().map(Shown::of).collect();
                json!(shown)
            }
            Self::Kill(number) => flows.kill(*number).into(),
            Self::End(numbers) => flows.end_those(numbers).into(),
        }
    }
}

impl Keeper {
    /// Answers what is asked for, when earlier daemons have said what they have to.
    pub(super) async fn respond(&mut self, request: Request) -> Answer {
        match request {
            Request::Flows => self.all_flows().await,
            Request::KillFlow { id } => self.kill_anywhere(id).await,
            Request::BypassEdit {
                list,
                edit,
                end: true,
            } => {
                let mut answer = self.bypass_edit(&list, &edit, true);
                if let Answer::Done(told) = &mut answer {
                    let own = told["ended"].as_u64().unwrap_or_default();
                    told["ended"] = (own + self.end_elsewhere(&edit).await).into();
                }
                answer
            }
            Request::Examine => self.examine().await,
            Request::Mend => match self.mend().await {
                Ok(mended) => Answer::Done(mended),
                Err(error) => Answer::failed(format!("{error:#}")),
            },
            other => self.answer(other),
        }
    }

    /// All of them, those of daemons that drain included.
    async fn all_flows(&self) -> Answer {
        let mut flows = self.own_flows();
        let mut unknown = 0;
        for (generation, said) in self.generations.ask(&Question::Flows).await {
            match said.and_then(|said| serde_json::from_value::<Vec<Shown>>(said).ok()) {
                Some(theirs) => flows.extend(theirs),
                // It hangs, or is of a version that does not know the question.
                None => unknown += generation.active(),
            }
        }
        Answer::Done(json!({ "flows": flows, "elsewhere": unknown }))
    }

    async fn kill_anywhere(&self, number: usize) -> Answer {
        let own = self.kill_flow(number);
        if matches!(own, Answer::Done(_)) {
            return own;
        }
        let said = self.generations.ask(&Question::Kill(number)).await;
        if said
            .iter()
            .any(|(_, said)| *said == Some(Value::Bool(true)))
        {
            tracing::info!(number, "flow of an earlier daemon killed");
            return Answer::Done(Value::Null);
        }
        own
    }

    /// As [`end_flows`](Self::end_flows) does with this daemon's own.
    async fn end_elsewhere(&mut self, edit: &ListEdit) -> u64 {
        let mut ended = 0;
        for (generation, said) in self.generations.clone().ask(&Question::Flows).await {
            let theirs = said.and_then(|said| serde_json::from_value::<Vec<Shown>>(said).ok());
            let theirs = theirs.unwrap_or_default();
            let is_meant = self.meant_by(edit);
            let meant: Vec<_> = theirs
                .iter()
                .filter(|flow| is_meant(flow.client, flow.origin))
                .map(|flow| flow.id)
                .collect();
            drop(is_meant);
            for some in meant.chunks(ENDED) {
                let said = generation.ask(&Question::End(some.to_vec())).await;
                ended += said.and_then(|said| said.as_u64()).unwrap_or_default();
            }
        }
        ended
    }

    /// Counts on from what earlier daemons counted.
    pub(super) fn carry_hits(&mut self) {
        for counted in self.generations.take_hits() {
            self.lists.count_on(&mut self.dataplane, &counted);
        }
    }
}

/// Which flows are meant.
pub(super) type Meant<'a> = Box<dyn Fn(SocketAddr, SocketAddr) -> bool + 'a>;
