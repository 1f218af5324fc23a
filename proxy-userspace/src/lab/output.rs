//! The output of child processes, collected while they run.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

/// What a child process prints, collected by a thread for each of its outputs.
#[derive(Debug, Default)]
pub struct Output {
    text: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    /// Collects both outputs of a child that was started with pipes for them.
    #[must_use]
    pub fn of(child: &mut Child) -> Self {
        let mut output = Self::default();
        output.follow(child.stdout.take());
        output.follow(child.stderr.take());
        output
    }

    pub(super) fn follow(&mut self, source: Option<impl Read + Send + 'static>) {
        let text = Arc::clone(&self.text);
        self.readers.extend(source.map(|source| {
            thread::spawn(move || {
                for line in BufReader::new(source)
                    .lines()
                    .map_while(std::io::Result::ok)
                {
                    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&line);
                    text.push('\n');
                }
            })
        }));
    }

    /// Waits until everything that an ended child has printed is here.
    pub fn finish(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The first line so far that begins like this.
    #[must_use]
    pub fn line(&self, beginning: &str) -> Option<String> {
        self.text()
            .lines()
            .find(|line| line.starts_with(beginning))
            .map(str::to_owned)
    }
}
