//! Feeds of bypass lists, and who may edit them.

use std::path::PathBuf;

use super::{Fault, Value, fault, list, names::is_file, quote, quoted_list, string};
use crate::config::Bypass;

/// Files that are lists.
pub(in crate::config) mod feeds {
    use super::*;

    const EXPECTED: &str = "a list of absolute paths of files, such as [\"/srv/banks.txt\"]";

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Vec<PathBuf>, Fault> {
        let mut feeds: Vec<PathBuf> = Vec::new();
        for element in list(value, EXPECTED)? {
            let text = string(element, "the absolute path of a file")?;
            if !is_file(text) {
                let message = format!(
                    "expected the absolute path of a file, found {}",
                    quote(text)
                );
                return Err(fault(element, message));
            }
            let path = PathBuf::from(text);
            let Some(name) = Bypass::list_of(&path) else {
                return Err(fault(
                    element,
                    format!(
                        "no list can be called as {} is: name the file 1 to 32 of a-z, 0-9, \"_\" \
                         and \"-\", and not \"manual\" or \"learned\"",
                        quote(text)
                    ),
                ));
            };
            if feeds
                .iter()
                .any(|feed| Bypass::list_of(feed).as_ref() == Some(&name))
            {
                return Err(fault(
                    element,
                    format!("there are two feeds for list \"{name}\""),
                ));
            }
            feeds.push(path);
        }
        Ok(feeds)
    }

    pub(in crate::config) fn show(feeds: &[PathBuf]) -> String {
        let paths: Vec<_> = feeds.iter().map(|path| path.to_string_lossy()).collect();
        quoted_list(paths.iter().map(AsRef::as_ref))
    }
}

/// The name of a user or a group, or none.
pub(in crate::config) mod account {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Option<String>, Fault> {
        let name = string(value, "the name of a user or a group")?;
        if name.contains(['\0', ':', '/', ' ']) {
            return Err(fault(
                value,
                format!("{} is no name of a user or a group", quote(name)),
            ));
        }
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }

    pub(in crate::config) fn show(name: &Option<String>) -> String {
        quote(name.as_deref().unwrap_or_default())
    }
}
