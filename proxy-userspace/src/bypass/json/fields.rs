//! The fields of an entry's object.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use super::super::{
    collect::Options,
    entry::{self, Action, Attributes, Entry},
    error::EntryError,
    interface::InterfaceName,
    key::{self, Key},
    timestamp::Timestamp,
};

/// Reads an entry and hands it on, with the word whether host bits were cleared. What `take` says
/// becomes an error with the place of the object's end.
pub(super) struct EntrySeed<'a> {
    pub(super) options: &'a Options,
    pub(super) take: &'a mut dyn FnMut(Entry, bool) -> Result<(), String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Destination,
    Source,
    Port,
    Interface,
    Action,
    Expires,
    Comment,
    Owner,
    #[serde(
        alias = "hits",
        alias = "last_hit",
        alias = "enabled",
        alias = "reason"
    )]
    List,
}

impl Field {
    const fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Source => "source",
            Self::Port => "port",
            Self::Interface => "interface",
            Self::Action => "action",
            Self::Expires => "expires",
            Self::Comment => "comment",
            Self::Owner => "owner",
            Self::List => "list",
        }
    }
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry: an object with a destination, a source, a port or an interface")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut any, mut normalised) = (false, false);
        let (mut destination, mut source, mut port, mut interface) = (None, None, None, None);
        let mut attributes = Attributes::new(Action::Bypass);
        let mut said = [false; Field::List as usize];
        while let Some(field) = fields.next_key::<Field>()? {
            if let Some(said) = said.get_mut(field as usize)
                && std::mem::replace(said, true)
            {
                return Err(de::Error::duplicate_field(field.name()));
            }
            match field {
                Field::Destination => {
                    destination = fields.next_value_seed(Text(
                        "an address, a prefix, \"any\" or null",
                        |text: &str| {
                            any = text == "any";
                            (!any).then(|| self.options.prefix(text)).transpose()
                        },
                    ))?;
                }
                Field::Source => {
                    source = fields
                        .next_value_seed(Text("an address, a prefix or null", |text: &str| {
                            self.options.prefix(text).map(Some)
                        }))?;
                }
                Field::Port => port = fields.next_value_seed(Port)?,
                Field::Interface => {
                    interface = fields.next_value_seed(Text(
                        "the name of an interface or null",
                        |text: &str| text.parse::<InterfaceName>().map(Some),
                    ))?;
                }
                Field::Action => {
                    let action = fields.next_value::<Option<Action>>()?;
                    attributes.action = action.unwrap_or_default();
                }
                Field::Expires => {
                    let moment = Text("a moment in RFC 3339 or null", |text: &str| {
                        text.parse::<Timestamp>().map(Some)
                    });
                    attributes.set_expires(fields.next_value_seed(moment)?);
                }
                Field::Comment => {
                    let comment = Text("text or null", |text: &str| {
                        entry::note("the comment", text)
                    });
                    attributes.set_comment(fields.next_value_seed(comment)?);
                }
                Field::Owner => {
                    let owner = Text("text or null", |text: &str| entry::note("the owner", text));
                    attributes.set_owner(fields.next_value_seed(owner)?);
                }
                Field::List => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut prefix = |(prefix, cleared)| {
            normalised |= cleared;
            prefix
        };
        let (destination, source) = (destination.map(&mut prefix), source.map(&mut prefix));
        let nothing =
            destination.is_none() && source.is_none() && port.is_none() && interface.is_none();
        if nothing && !any {
            return Err(de::Error::custom(EntryError::Nothing));
        }
        let key = Key::of(destination, source, port, interface).map_err(de::Error::custom)?;
        (self.take)(Entry::of(key, attributes), normalised).map_err(de::Error::custom)
    }
}

/// A string that is read by the function, or `null`; with what is expected. As a visitor, as only
/// the errors of visitors get the place of the string.
struct Text<F>(&'static str, F);

impl<'de, T, F: FnOnce(&str) -> Result<Option<T>, EntryError>> DeserializeSeed<'de> for Text<F> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<Option<T>, EntryError>> Visitor<'_> for Text<F> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        (self.1)(text).map_err(E::custom)
    }
}

/// A number that a port can have, or `null`.
struct Port;

impl<'de> DeserializeSeed<'de> for Port {
    type Value = Option<std::num::NonZeroU16>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Port {
    type Value = Option<std::num::NonZeroU16>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1 to 65535 or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Err(E::custom(EntryError::Port(number.to_string())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        key::port(&number.to_string()).map(Some).map_err(E::custom)
    }
}
