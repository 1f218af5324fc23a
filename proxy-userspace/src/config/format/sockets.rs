//! Where something listens.

/// A port of the loopback device, `ADDRESS:PORT`, or nowhere.
pub(in crate::config) mod endpoint {
    use std::net::{Ipv4Addr, SocketAddr};

    use crate::config::{
        document::{Fault, Value},
        format::{fault, quote, string},
    };

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Option<SocketAddr>, Fault> {
        let text = string(value, "a port, an address with a port, or \"\"")?;
        if text.is_empty() {
            return Ok(None);
        }
        // Nobody but this host, unless somebody else is named.
        let port = text
            .parse()
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        match port.or_else(|_| text.parse()) {
            Ok(address) if address.port() != 0 => Ok(Some(address)),
            Ok(_) => Err(fault(value, "port 0 is none: give one from 1 to 65535")),
            Err(_) => Err(fault(
                value,
                format!(
                    "{} is no endpoint: \"9487\", \"127.0.0.1:9487\" and \"[::1]:9487\" are",
                    quote(text)
                ),
            )),
        }
    }

    pub(in crate::config) fn show(address: &Option<SocketAddr>) -> String {
        quote(&address.map(|it| it.to_string()).unwrap_or_default())
    }
}
