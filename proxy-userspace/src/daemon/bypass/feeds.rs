//! Lists that others write.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::Lists;
use crate::{
    bypass::{Edit, Expired, HostBits, ListName, Options, Parsed, Timestamp, json as json_lists},
    config::Bypass,
    dataplane::Dataplane,
};

/// Larger files are no lists.
const LARGEST: u64 = 512 * 1024 * 1024;

/// The feeds of the configuration.
#[derive(Default)]
pub(super) struct Feeds(Vec<Feed>);

struct Feed {
    path: PathBuf,
    list: ListName,
    /// The file as it was taken in, or tried, last.
    seen: Option<Stamp>,
    /// The file as it was when it was looked at last.
    looked: Option<Stamp>,
    /// What was wrong with it.
    fault: Option<String>,
}

/// What tells one content of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Feeds {
    /// The file that `list` comes from.
    pub(super) fn of(&self, list: &ListName) -> Option<&Path> {
        let feed = self.0.iter().find(|feed| feed.list == *list);
        feed.map(|feed| feed.path.as_path())
    }
}

impl Lists {
    /// Has these files as feeds from now on, and takes them in now. A list whose feed is gone
    /// stays as it is, an ordinary list.
    pub(in crate::daemon) fn set_feeds(&mut self, dataplane: &mut Dataplane, paths: &[PathBuf]) {
        self.know_feeds(paths);
        for at in 0..self.feeds.0.len() {
            self.take_in(dataplane, at);
        }
    }

    /// Knows the feeds' lists, but does not look at the files.
    pub(super) fn know_feeds(&mut self, paths: &[PathBuf]) {
        let feed = |path: &PathBuf| {
            let list = Bypass::list_of(path)?.parse().ok()?;
            Some(Feed {
                path: path.clone(),
                list,
                seen: None,
                looked: None,
                fault: None,
            })
        };
        self.feeds = Feeds(paths.iter().filter_map(feed).collect());
    }

    /// Takes in what has changed, and has not been written to since the last look.
    pub(in crate::daemon) fn look_at_feeds(&mut self, dataplane: &mut Dataplane) {
        for at in 0..self.feeds.0.len() {
            let feed = &mut self.feeds.0[at];
            let now = stamp(&feed.path).ok();
            let still = std::mem::replace(&mut feed.looked, now) == now;
            if still && now != feed.seen {
                self.take_in(dataplane, at);
            }
        }
    }

    /// `feeds` of `weir status --json`.
    pub(in crate::daemon) fn feeds_status(&self) -> Value {
        let status =
            |feed: &Feed| json!({ "path": feed.path, "list": feed.list, "fault": feed.fault });
        self.feeds.0.iter().map(status).collect()
    }

    fn take_in(&mut self, dataplane: &mut Dataplane, at: usize) {
        let feed = &mut self.feeds.0[at];
        feed.seen = stamp(&feed.path).ok();
        let (path, list) = (feed.path.clone(), feed.list.clone());
        let result = read(&path).and_then(|parsed| {
            let notices = parsed.notices;
            let change = self
                .apply(Some(dataplane), &list, Edit::Replace(parsed.entries))
                .map_err(|error| error.to_string())?;
            Ok((change, notices))
        });
        match result {
            Ok((change, notices)) => {
                self.feeds.0[at].fault = None;
                let (added, removed) = (change.added.len(), change.removed.len());
                let normalised = notices.normalised.count;
                tracing::info!(%list, added, removed, normalised, "bypass feed taken in");
            }
            Err(fault) => {
                tracing::error!(%list, %fault, "bypass feed not taken in, the list stays as it is");
                self.feeds.0[at].fault = Some(fault);
            }
        }
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let file = fs::metadata(path)?;
    Ok(Stamp {
        inode: file.ino(),
        length: file.len(),
        seconds: file.mtime(),
        nanoseconds: file.mtime_nsec(),
    })
}

fn read(path: &Path) -> Result<Parsed, String> {
    let named = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let length = fs::metadata(path).map_err(|error| named(&error))?.len();
    if length > LARGEST {
        return Err(named(&format!("{length} bytes are more than {LARGEST}")));
    }
    let text = fs::read_to_string(path).map_err(|error| named(&error))?;
    // Others write it, so what is meant is taken where it is clear.
    let options = Options {
        force: false,
        host_bits: HostBits::Normalise,
        expired: Expired::Skip(Timestamp::now()),
    };
    let parsed = json_lists::parse_any(&text, &options).map_err(|error| {
        format!(
            "{}:{}:{}: {}",
            path.display(),
            error.line,
            error.column,
            error.message
        )
    })?;
    let says_so = json_lists::sniff(&text) == json_lists::Format::Json;
    if parsed.entries.is_empty() && !says_so {
        // More likely a download that failed than a bypass that nobody needs any more.
        return Err(named(&"there is no entry in it; [] is a list without any"));
    }
    Ok(parsed)
}
