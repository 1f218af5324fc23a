//! Which connections are shown.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::Flow;
use crate::session::State;

/// One condition.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    Client(IpNet),
    Origin(IpNet),
    /// A part of the host, in lower case.
    Host(String),
    State(&'static str),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("expected KEY=VALUE, such as client=10.0.0.0/8")?;
        match key {
            "client" => prefix(value).map(Self::Client),
            "origin" => prefix(value).map(Self::Origin),
            "host" => Ok(Self::Host(value.to_lowercase())),
            "state" => State::ALL
                .into_iter()
                .map(State::as_str)
                .find(|state| *state == value)
                .map(Self::State)
                .ok_or_else(|| {
                    let words = State::ALL.map(State::as_str).join(", ");
                    format!("no state \"{value}\"; there are: {words}")
                }),
            _ => Err(format!(
                "no key \"{key}\"; there are: client, origin, host, state"
            )),
        }
    }
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("\"{text}\" is neither an address nor a prefix"))
}

impl Filter {
    pub(super) fn holds(&self, flow: &Flow) -> bool {
        match self {
            Self::Client(prefix) => prefix.contains(&flow.client.ip()),
            Self::Origin(prefix) => prefix.contains(&flow.origin.ip()),
            Self::Host(part) => flow
                .host
                .as_ref()
                .is_some_and(|host| host.to_lowercase().contains(part)),
            Self::State(state) => flow.state == *state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            id: 1,
            client: "10.0.0.2:1000".parse().unwrap(),
            origin: "[2001:db8::1]:80".parse().unwrap(),
            age_ms: 0,
            state: "exchange".to_owned(),
            requests: 1,
            bytes_in: 0,
            bytes_out: 0,
            host: Some("Www.Example.com".to_owned()),
            rate_in: None,
            rate_out: None,
        }
    }

    #[test]
    fn conditions_hold_or_do_not() {
        for (filter, expected) in [
            ("client=10.0.0.0/8", true),
            ("client=10.0.0.2", true),
            ("client=10.0.0.3", false),
            ("client=fd00::/8", false),
            ("origin=2001:db8::/32", true),
            ("host=EXAMPLE", true),
            ("host=other", false),
            ("state=exchange", true),
            ("state=tunnel", false),
        ] {
            let parsed: Filter = filter.parse().unwrap();
            assert_eq!(parsed.holds(&flow()), expected, "{filter}");
        }
        for (wrong, word) in [
            ("client", "KEY=VALUE"),
            ("client=x", "neither"),
            ("state=x", "connecting"),
            ("port=80", "there are: client"),
        ] {
            let error = wrong.parse::<Filter>().unwrap_err();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }
}
