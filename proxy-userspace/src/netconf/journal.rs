//! What we put on the host, written down before it is done.
//!
//! The journal names where to look (namespace, table, mark), not single acts: each undo removes
//! whatever carries our protocol number, our program's name or our socket mark there, so it is
//! right however far the daemon had come when it died, and whichever links have come since.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const FILE: &str = "journal.json";

/// The journal's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The instance.
    pub instance: String,
    /// Process that wrote this.
    pub pid: u32,
    /// Network namespace ([`super::netns::current_id`]).
    pub netns: u64,
    /// The bit on our sockets.
    pub socket_mark: u32,
    /// The kernel's numbers of our programs: on links that have moved elsewhere, names would not
    /// tell ours from another daemon's.
    #[serde(default)]
    pub programs: Vec<u32>,
    /// The table of our rules and routes.
    pub table: u32,
    /// Kernel parameters that we change, with what they were.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
}

impl Journal {
    /// Reads the journal of an instance's run directory. `None` if there is none, or a damaged
    /// one ([`Journal::is_there`] tells), and says so.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(run_dir: &Path) -> io::Result<Option<Self>> {
        let path = run_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(with_path(&error, "read", &path)),
        };
        match serde_json::from_slice(&text) {
            Ok(journal) => Ok(Some(journal)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "damaged journal");
                Ok(None)
            }
        }
    }

    /// Whether there is one, readable or not.
    #[must_use]
    pub fn is_there(run_dir: &Path) -> bool {
        run_dir.join(FILE).exists()
    }

    /// Writes it, durably and at once (a rename), before the host is changed.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, run_dir: &Path) -> io::Result<()> {
        let path = run_dir.join(FILE);
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(run_dir)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(run_dir)?.sync_all()
        };
        write().map_err(|error| with_path(&error, "write", &path))
    }

    /// Removes it: everything is undone.
    ///
    /// # Errors
    ///
    /// If it cannot be removed; that it is not there is fine.
    pub fn remove(run_dir: &Path) -> io::Result<()> {
        let path = run_dir.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(with_path(&error, "remove", &path))
            }
            _ => Ok(()),
        }
    }
}

/// Where all instances keep their run directories. Not below a mount of our own: every network
/// namespace's processes see it.
pub const RUN: &str = "/run/weir";

/// `/run/weir/INSTANCE`.
#[must_use]
pub fn run_dir(instance: &str) -> PathBuf {
    Path::new(RUN).join(instance)
}

fn with_path(error: &io::Error, operation: &str, path: &Path) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {operation} {}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal {
            instance: "default".to_owned(),
            pid: 1,
            netns: 4_026_531_840,
            socket_mark: 0x2000_0000,
            programs: vec![7, 8],
            table: 8780,
            sysctls: BTreeMap::from([("net/ipv4/conf/br0/src_valid_mark".into(), "0".into())]),
        }
    }

    #[test]
    fn comes_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Journal::read(dir.path()).unwrap(), None);
        journal().write(dir.path()).unwrap();
        assert_eq!(Journal::read(dir.path()).unwrap(), Some(journal()));
        Journal::remove(dir.path()).unwrap();
        Journal::remove(dir.path()).unwrap();
        assert_eq!(Journal::read(dir.path()).unwrap(), None);
    }

    #[test]
    fn one_cut_short_at_any_byte_is_none() {
        let dir = tempfile::tempdir().unwrap();
        journal().write(dir.path()).unwrap();
        let text = fs::read(dir.path().join(FILE)).unwrap();
        for end in 0..text.len() - 2 {
            fs::write(dir.path().join(FILE), &text[..end]).unwrap();
            assert_eq!(Journal::read(dir.path()).unwrap(), None, "cut at {end}");
        }
    }
}
