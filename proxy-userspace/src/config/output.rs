//! `intercept.output` and the mark that it needs.

use super::{Config, ConfigError};

impl Config {
    /// With this host's own connections intercepted as well.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Flag`] if `host.output_mark` is another mark's bit as well.
    pub fn with_output(mut self) -> Result<Self, ConfigError> {
        self.intercept.output = true;
        match self.output_mark_is_taken() {
            Some(message) => Err(ConfigError::Flag {
                flag: "--output",
                message,
            }),
            None => Ok(self),
        }
    }

    /// Whose bit `host.output_mark` is besides, if it is needed at all: a connection of Weir's own
    /// that had it would come back to Weir.
    pub(super) fn output_mark_is_taken(&self) -> Option<String> {
        let host = &self.host;
        if !self.intercept.output {
            return None;
        }
        let bit = host.output_mark;
        let ours = [("steer", host.steer_mark), ("socket", host.socket_mark)];
        if let Some((name, _)) = ours.iter().find(|(_, mark)| *mark == bit) {
            return Some(format!(
                "host.output_mark and host.{name}_mark are both {bit:#x}; give each a bit of its own"
            ));
        }
        let marks = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule.mark?, &rule.name)));
        let (mark, name) = marks.into_iter().find(|(mark, _)| mark & bit != 0)?;
        Some(format!(
            "the mark {mark:#x} of [[rule]] {name} has the bit of host.output_mark ({bit:#x}) in \
             it; use another bit"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "weir.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn the_mark_is_of_nobody_else() {
        for (lines, said) in [
            (
                "[host]\noutput_mark = 0x20000000\n",
                "host.output_mark and host.socket_mark are both 0x20000000",
            ),
            (
                "[[rule]]\nname = \"vpn\"\nmark = 0x0800_0001\n",
                "the mark 0x8000001 of [[rule]] vpn has the bit of host.output_mark (0x8000000)",
            ),
        ] {
            let config = parse(lines).unwrap();
            let flag = config.with_output().unwrap_err().to_string();
            assert!(flag.starts_with(&format!("--output: {said}")), "{flag}");
            let key = parse(&format!("[intercept]\noutput = true\n{lines}")).unwrap_err();
            assert!(key.starts_with(&format!("weir.toml:2:10: {said}")), "{key}");
        }
        assert!(Config::default().with_output().unwrap().intercept.output);
    }
}
