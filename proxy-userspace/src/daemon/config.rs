//! The configuration in force, for `weir config show`.

use std::collections::BTreeMap;

use serde_json::json;

use super::keeper::Keeper;
use crate::{config::Config, control::Answer};

impl Keeper {
    pub(super) fn config(&self) -> Answer {
        let config = &self.options.config;
        // What would be read now may be another by now, or wrong.
        let read = self.options.source.read();
        let (pending, fault) = match &read {
            Ok(read) => (pending(config, read), None),
            Err(fault) => (BTreeMap::new(), Some(fault.to_string())),
        };
        let defaults: BTreeMap<_, _> = Config::default().settings().collect();
        let settings = config.settings().map(|(key, value)| {
            let is_default = defaults[key] == value;
            json!({
                "key": key,
                "value": value,
                "default": is_default,
                "pending": pending.get(key),
            })
        });
        Answer::Done(json!({
            "file": self.options.source.file,
            "fault": fault,
            "settings": settings.collect::<Vec<_>>(),
            "rules": config.rules.len(),
            "rules_pending": read.is_ok_and(|read| read.rules != config.rules),
        }))
    }
}

/// What is to be done for a value of the file's to be in force.
fn pending(config: &Config, read: &Config) -> BTreeMap<&'static str, serde_json::Value> {
    let differences = config.differences(read);
    differences
        .map(|it| {
            let by = if it.live { "reload" } else { "restart" };
            (it.path, json!({ "value": it.new, "by": by }))
        })
        .collect()
}
