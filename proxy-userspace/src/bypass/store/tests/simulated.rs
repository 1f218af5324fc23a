//! A disk in memory that knows what is durable, fails when it is told to, and loses power.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use super::super::disk::Disk;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Simulated(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    /// The names that a power cut leaves in any case.
    durable: BTreeMap<String, usize>,
    /// What was done to the names since, in order.
    pending: Vec<Naming>,
    open: Option<usize>,
    /// How many operations were begun.
    operations: usize,
    fault: Option<(usize, Fault)>,
    /// Power is off.
    off: bool,
}

#[derive(Clone, Debug, Default)]
struct Node {
    content: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Naming {
    Set(String, usize),
    Removed(String),
}

/// What happens to the operation that a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Power is cut before it.
    Cut,
    /// Power is cut within it: half of a write is written.
    CutHalf,
    /// It fails, and does nothing; the disk goes on.
    Fails,
    /// It fails half way, or though it is done; the disk goes on.
    FailsHalf,
    /// From it on, every operation fails.
    FailsForGood,
}

/// What becomes of content that is not durable in a power cut.
#[derive(Clone, Copy, Debug)]
enum Loss {
    All,
    Half,
    Zeroed,
    Nothing,
}

impl Simulated {
    /// Whether the operation of that number, from 1, has not been reached yet.
    pub(super) fn is_before(&self, operation: usize) -> bool {
        self.state().operations < operation
    }

    pub(super) fn set_fault(&self, operation: usize, fault: Fault) {
        self.state().operations = 0;
        self.state().fault = Some((operation, fault));
    }

    pub(super) fn repair(&self) {
        self.state().fault = None;
    }

    /// Every disk that can be found after the power comes back, and the one after a crash.
    pub(super) fn images(&self) -> Vec<Self> {
        let state = self.state().clone();
        let mut images = vec![State {
            open: None,
            operations: 0,
            fault: None,
            off: false,
            ..state.clone()
        }];
        for done in 0..=state.pending.len() {
            let mut names = state.durable.clone();
            for naming in &state.pending[..done] {
                match naming {
                    Naming::Set(name, node) => names.insert(name.clone(), *node),
                    Naming::Removed(name) => names.remove(name),
                };
            }
            for loss in [Loss::All, Loss::Half, Loss::Zeroed, Loss::Nothing] {
                let nodes = state.nodes.iter().map(|node| node.after(loss)).collect();
                images.push(State {
                    nodes,
                    names: names.clone(),
                    durable: names.clone(),
                    ..State::default()
                });
            }
        }
        images
            .into_iter()
            .map(|state| Self(Arc::new(Mutex::new(state))))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Does `operation`, unless a fault is due. It is told whether it is to do half of it only.
    fn step<T>(&self, operation: impl FnOnce(&mut State, bool) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.operations += 1;
        let due = state.operations;
        match state.fault {
            _ if state.off => {}
            Some((at, Fault::FailsForGood)) if due >= at => {}
            Some((at, fault)) if due == at => {
                state.off = matches!(fault, Fault::Cut | Fault::CutHalf);
                if matches!(fault, Fault::CutHalf | Fault::FailsHalf) {
                    operation(&mut state, true)?;
                }
            }
            _ => return operation(&mut state, false),
        }
        Err(io::Error::other("simulated"))
    }
}

impl Node {
    fn after(&self, loss: Loss) -> Self {
        let mut content = self.durable.clone();
        let more = self.content.len().saturating_sub(self.durable.len());
        match loss {
            Loss::All => {}
            Loss::Half if self.content.starts_with(&self.durable) => {
                content.extend_from_slice(&self.content[self.durable.len()..][..more / 2]);
            }
            Loss::Zeroed if self.content.starts_with(&self.durable) => {
                content.resize(self.content.len(), 0);
            }
            Loss::Half | Loss::Zeroed | Loss::Nothing => content = self.content.clone(),
        }
        Self {
            durable: content.clone(),
            content,
        }
    }
}

impl State {
    fn set(&mut self, name: &str, node: usize) {
        self.names.insert(name.to_owned(), node);
        self.pending.push(Naming::Set(name.to_owned(), node));
    }

    fn unset(&mut self, name: &str) -> Option<usize> {
        let node = self.names.remove(name)?;
        self.pending.push(Naming::Removed(name.to_owned()));
        Some(node)
    }

    fn opened(&mut self) -> io::Result<&mut Node> {
        let open = self
            .open
            .ok_or_else(|| io::Error::other("nothing is open"))?;
        Ok(&mut self.nodes[open])
    }
}

impl Disk for Simulated {
    fn names(&mut self) -> io::Result<Option<Vec<String>>> {
        Ok(Some(self.state().names.keys().cloned().collect()))
    }

    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        let node = state.names.get(name);
        Ok(node.map(|&node| state.nodes[node].content.clone()))
    }

    fn make_directory(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.step(|state, _| {
            state.nodes.push(Node::default());
            let node = state.nodes.len() - 1;
            state.set(name, node);
            state.open = Some(node);
            Ok(())
        })
    }

    fn open(&mut self, name: &str) -> io::Result<u64> {
        self.step(|state, _| {
            if !state.names.contains_key(name) {
                state.nodes.push(Node::default());
                state.set(name, state.nodes.len() - 1);
            }
            state.open = Some(state.names[name]);
            Ok(state.opened()?.content.len() as u64)
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.step(|state, half| {
            let part = if half { bytes.len() / 2 } else { bytes.len() };
            state.opened()?.content.extend_from_slice(&bytes[..part]);
            Ok(())
        })
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.step(|state, _| {
            let length = usize::try_from(length).unwrap();
            state.opened()?.content.truncate(length);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(|state, half| {
            let node = state.opened()?;
            // What is read is what was written, durable or not.
            node.durable = node
                .after(if half { Loss::Half } else { Loss::Nothing })
                .durable;
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step(|state, _| {
            state.open = None;
            let node = state.names.get(from).copied();
            let node = node.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            // One operation: no power cut leaves both names or none.
            state.names.remove(from);
            state.names.insert(to.to_owned(), node);
            state.pending.push(Naming::Set(to.to_owned(), node));
            state.pending.push(Naming::Removed(from.to_owned()));
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step(|state, _| {
            state.open = None;
            state.unset(name);
            Ok(())
        })
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.step(|state, _| {
            state.durable = state.names.clone();
            state.pending.clear();
            Ok(())
        })
    }
}
