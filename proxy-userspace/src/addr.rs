//! Addresses by role, so that swapping two of them does not compile.

use std::{fmt, net::SocketAddr};

macro_rules! role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

role! {
    /// Where an intercepted connection comes from: the client's own address and port.
    ClientAddr
}
role! {
    /// What the client dialled: the original destination of an intercepted connection.
    OriginAddr
}
role! {
    /// What our leg to the origin is bound to: the client's address with a port of ours.
    SpoofedAddr
}
role! {
    /// The loopback address a worker's listener is bound to. Nobody dials it on purpose.
    ListenAddr
}
