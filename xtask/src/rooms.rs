//! The dependency rule of `docs/ARCHITECTURE.md`: a room uses rooms of lower layers only, and
//! some crates are named in one room only.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::tools::workspace;

/// Rooms by layer, lowest first. A room uses lower layers, never its own, never a higher one.
const LAYERS: [&[&str]; 6] = [
    &["addr", "fault", "reason", "sys"],
    &["bypass", "config", "http", "learn", "observe"],
    &["dataplane", "listener", "netconf", "policy", "upstream"],
    &["control", "doctor", "lab", "session"],
    &["daemon"],
    &["cli"],
];

/// Crates that one room alone may name.
const CRATES: [(&str, &str); 11] = [
    ("aya", "dataplane"),
    ("rtnetlink", "netconf"),
    ("httparse", "http"),
    ("aho_corasick", "policy"),
    ("jiff", "policy"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
    ("ratatui", "cli"),
    ("prometheus_client", "observe"),
    ("sd_notify", "daemon"),
];

/// Checks every source file of the daemon.
pub(crate) fn check() -> Result<()> {
    let root = workspace().join("proxy-userspace/src");
    let layer_of: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, rooms)| rooms.iter().map(move |room| (*room, layer)))
        .collect();
    let mut faults = Vec::new();
    for file in source_files(&root)? {
        let relative = file.strip_prefix(&root)?;
        let Some(room) = room_of(relative) else {
            continue;
        };
        let Some(layer) = layer_of.get(room.as_str()) else {
            faults.push(format!(
                "{}: room `{room}` is in no layer",
                relative.display()
            ));
            continue;
        };
        let text = fs::read_to_string(&file).context(file.display().to_string())?;
        for (number, line) in (1..).zip(text.lines()) {
            let place = || format!("{}:{number}", relative.display());
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in rooms_in(line, &layer_of) {
                if used != room && layer_of[used] >= *layer {
                    faults.push(format!("{}: `{room}` must not use `{used}`", place()));
                }
            }
            for (name, owner) in CRATES {
                if room != owner && names_crate(line, name) {
                    faults.push(format!("{}: only `{owner}` names {name}", place()));
                }
            }
            if room != "sys" && line.contains("unsafe {") {
                faults.push(format!("{}: only `sys` holds unsafe code", place()));
            }
        }
    }
    if !faults.is_empty() {
        bail!("the dependency rule is broken:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// Rooms that a line names: `crate::room` and, in grouped imports, `room::` at a line's start.
fn rooms_in<'a>(line: &str, rooms: &BTreeMap<&'a str, usize>) -> Vec<&'a str> {
    let trimmed = line.trim_start();
    rooms
        .keys()
        .filter(|room| {
            line.contains(&format!("crate::{room}"))
                || (line.starts_with("    ")
                    && !line.starts_with("     ")
                    && (trimmed.starts_with(&format!("{room}::"))
                        && trimmed.ends_with([',', '{', ';'])))
        })
        .copied()
        .collect()
}

fn names_crate(line: &str, name: &str) -> bool {
    line.contains(&format!("use {name}::")) || line.contains(&format!(" {name}::"))
}

fn room_of(relative: &Path) -> Option<String> {
    let first = relative.components().next()?.as_os_str().to_str()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(room, "lib" | "main")).then(|| room.to_owned())
}

fn source_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).context(folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
