//! What `weir doctor` says.

use serde_json::Value;

use crate::launch::run_weir;

/// An examination.
#[derive(Debug)]
pub struct Doctor {
    /// Its exit code.
    pub code: i32,
    /// What it printed on standard output.
    pub report: Value,
}

impl Doctor {
    /// Runs `weir doctor ARGUMENTS --json`.
    ///
    /// # Panics
    ///
    /// When it prints no JSON.
    #[track_caller]
    #[must_use]
    pub fn examine(arguments: &[&str]) -> Self {
        let output = run_weir(&[&["doctor", "--json"], arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"));
        Self {
            code: output.status.code().unwrap_or(-1),
            report,
        }
    }

    /// Those findings of a check that are not well, each in a line: `LEVEL OBJECT: FOUND`.
    #[must_use]
    pub fn troubles(&self, check: &str) -> Vec<String> {
        let findings = self.findings(|it| it["check"] == check && it["level"] != "ok");
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let line = |it: &Value| {
            let [level, object, found] = ["level", "object", "found"].map(|key| text(&it[key]));
            format!("{level} {object}: {found}")
        };
        findings.iter().map(line).collect()
    }

    /// Those findings with a code.
    #[must_use]
    pub fn coded(&self, code: &str) -> Vec<Value> {
        self.findings(|it| it["code"] == code)
    }

    /// The one finding with a code, as a line `LEVEL OBJECT: FOUND`.
    ///
    /// # Panics
    ///
    /// When there are others of that code, or none.
    #[track_caller]
    #[must_use]
    pub fn only(&self, code: &str) -> String {
        let findings = self.coded(code);
        let [it] = &findings[..] else {
            panic!("{code}: {findings:?} of {self:#?}");
        };
        let text = |key: &str| it[key].as_str().unwrap_or("?").to_owned();
        format!("{} {}: {}", text("level"), text("object"), text("found"))
    }

    /// Those findings.
    pub fn findings(&self, which: impl Fn(&Value) -> bool) -> Vec<Value> {
        let findings = self.report["findings"].as_array().into_iter().flatten();
        findings.filter(|it| which(it)).cloned().collect()
    }

    /// Errors and warnings.
    #[must_use]
    pub fn alarms(&self) -> Vec<Value> {
        self.findings(|it| it["level"] == "error" || it["level"] == "warning")
    }
}
