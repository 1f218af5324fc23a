//! The commands that docs/OPERATING.md tells operators, to be run as they stand there.

use std::{fs, path::Path};

use proxy_userspace::lab::Namespace;

use crate::said::Said;

/// A block of commands of the manual.
#[derive(Clone, Debug)]
pub struct Recipe(String);

impl Recipe {
    /// The first block of `sh` below `title`. Lines that begin with one of the `names` and `=` get
    /// the value that goes with it, so that they are about this network; what starts the daemon is
    /// left to the test.
    ///
    /// # Panics
    ///
    /// When there is no such block, or no line for one of the names.
    #[must_use]
    pub fn below(title: &str, names: &[(&str, &str)]) -> Self {
        let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/OPERATING.md");
        let text = fs::read_to_string(&manual)
            .unwrap_or_else(|error| panic!("{}: {error}", manual.display()));
        let block = text
            .split_once(title)
            .and_then(|(_, below)| below.split_once("```sh\n"))
            .and_then(|(_, block)| block.split_once("```"));
        let (block, _) = block.unwrap_or_else(|| panic!("no block below {title:?}"));
        let mut lines: Vec<String> = block.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("weir run"));
        for (name, value) in names {
            let begins = format!("{name}=");
            let line = lines.iter_mut().find(|line| line.starts_with(&begins));
            let line = line.unwrap_or_else(|| panic!("no line {begins} below {title:?}"));
            *line = begins + value;
        }
        Self(lines.join("\n"))
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// When one of the commands fails.
    #[track_caller]
    pub fn run(&self, namespace: &Namespace) {
        let output = namespace.command("sh").args(["-exc", &self.0]).output();
        let output = output.unwrap_or_else(|error| panic!("sh: {error}"));
        let _ = Said::of(&output).done();
    }
}
