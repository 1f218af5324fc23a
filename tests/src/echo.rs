//! What the lab's origin reports of a request.

use std::{io, net::SocketAddr};

use serde_json::Value;

use crate::response::{Response, broken};

/// The report of `proxy_userspace::lab::origin`, and the client's own end of the connection.
#[derive(Clone, Debug)]
pub struct Echo(pub Value, pub SocketAddr);

impl Echo {
    /// Reads the report in a response.
    ///
    /// # Errors
    ///
    /// `InvalidData` when there is none.
    pub fn of(response: &Response, local: SocketAddr) -> io::Result<Self> {
        let not_a_report = || broken(&format!("no report: {response:?}"));
        if response.status != 200 {
            return Err(not_a_report());
        }
        let report: Value = serde_json::from_slice(&response.body).map_err(|_| not_a_report())?;
        if report["peer"].is_null() {
            Err(not_a_report())
        } else {
            Ok(Self(report, local))
        }
    }

    /// Whom the origin saw.
    ///
    /// # Panics
    ///
    /// When the report has no such thing.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        let address = self.0["peer"].as_str().and_then(|peer| peer.parse().ok());
        let port = self.0["peer_port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok());
        let (address, port) = address
            .zip(port)
            .unwrap_or_else(|| panic!("no peer: {}", self.0));
        SocketAddr::new(address, port)
    }

    /// Whether the origin saw the client's address on a connection that is not the client's.
    #[must_use]
    pub fn intercepted(&self) -> bool {
        self.peer().ip() == self.1.ip() && self.peer().port() != self.1.port()
    }

    /// Whether the origin saw the client's own connection.
    #[must_use]
    pub fn direct(&self) -> bool {
        self.peer() == self.1
    }

    /// The head of the request, as it arrived.
    #[must_use]
    pub fn head(&self) -> &str {
        self.0["head"].as_str().unwrap_or_default()
    }

    /// The number of the connection at the origin, and of the request on it.
    #[must_use]
    pub fn place(&self) -> (u64, u64) {
        let number = |key: &str| self.0[key].as_u64().unwrap_or_default();
        (number("connection"), number("request"))
    }

    /// The length of the request's body, as it arrived.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        self.0["body"]["length"].as_u64().unwrap_or_default()
    }

    /// The checksum of the request's body, as it arrived.
    #[must_use]
    pub fn body_checksum(&self) -> &str {
        self.0["body"]["checksum"].as_str().unwrap_or_default()
    }
}
