//! What a check says.

use serde::Serialize;

use super::{Code, Step};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something works in part, or in another way than one may expect.
    Warning,
    /// Something cannot work.
    Error,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check it is from: stable, for programs.
    pub check: &'static str,
    /// What is not as it should be, if something is not: stable, for programs.
    pub code: Option<Code>,
    /// How bad it is.
    pub level: Level,
    /// What was looked at, by name.
    pub object: String,
    /// What was found.
    pub found: String,
    /// Why it matters; empty if it is clear.
    pub why: String,
    /// What to do, a command where there is one; empty if nothing.
    pub remedy: String,
    /// What `--fix` does about it, if it can.
    #[serde(skip)]
    pub step: Option<Step>,
}

impl Finding {
    /// One with neither reason nor remedy yet.
    pub fn new(
        code: Code,
        level: Level,
        object: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            check: code.check(),
            code: Some(code),
            level,
            object: object.into(),
            found: found.into(),
            why: String::new(),
            remedy: String::new(),
            step: None,
        }
    }

    /// All is well.
    pub fn ok(check: &'static str, object: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check,
            code: None,
            level: Level::Ok,
            object: object.into(),
            found: found.into(),
            why: String::new(),
            remedy: String::new(),
            step: None,
        }
    }

    /// Something that could not be looked at.
    pub fn unread(check: &'static str, object: impl Into<String>, error: &str) -> Self {
        let found = format!("cannot be read: {error}");
        let finding = Self::new(Code::Unread, Level::Note, object, found);
        Self { check, ..finding }.because("what is there has not been looked at")
    }

    /// Why it matters.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// What to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// What `--fix` does about it; then that is what to do by hand as well.
    #[must_use]
    pub fn mended_by(mut self, step: Step) -> Self {
        self.remedy = step.command();
        self.step = Some(step);
        self
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{}: {}", self.object, self.found);
        for (before, part) in [(": ", &self.why), ("; ", &self.remedy)] {
            if !part.is_empty() {
                line = line + before + part;
            }
        }
        line
    }
}
