//! `boot:` of a project file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Whether and how kernels are booted: `true`, `false`, or a mapping, which means `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Whether at all.
    pub on: bool,
    /// How.
    pub settings: BootSettings,
}

/// How kernels are booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BootSettings {
    /// Seconds that one boot may take; 120 if left out.
    pub timeout: Option<Seconds>,
    /// Boot kernels so that they refuse modules without a signature that they know.
    pub enforce_signatures: bool,
    /// Drivers for the same kernel share a boot, as with `--boot-together`.
    pub together: bool,
}

/// A time limit in seconds, from 1 to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(with = "u16", extend("minimum" = 1))]
pub struct Seconds(u16);

impl Seconds {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u64> for Seconds {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        let seconds = u16::try_from(number).ok().filter(|seconds| *seconds > 0);
        seconds.map(Self).ok_or_else(|| format!("`{number}` is not a time limit; expected seconds, from 1 to 65535"))
    }
}

impl From<Seconds> for u64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.into()
    }
}

impl<'de> Deserialize<'de> for Boot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BootVisitor)
    }
}

struct BootVisitor;

impl<'de> Visitor<'de> for BootVisitor {
    type Value = Boot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false`, or a mapping with `timeout`, `enforce_signatures` and `together`")
    }

    fn visit_bool<E>(self, on: bool) -> Result<Boot, E> {
        Ok(Boot { on, settings: BootSettings::default() })
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Boot, E> {
        Err(E::custom(format!(
            "`{}` is not a choice about boots; expected `true`, `false`, or a mapping with `timeout`, `enforce_signatures` and `together`",
            text.escape_debug()
        )))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Boot, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Boot, A::Error> {
        Ok(Boot { on: true, settings: BootSettings::deserialize(MapAccessDeserializer::new(map))? })
    }
}

impl JsonSchema for Boot {
    fn schema_name() -> Cow<'static, str> {
        "Boot".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = BootSettings::json_schema(generator);
        json_schema!({ "description": "Whether and how kernels are booted: `true`, `false`, or a mapping, which means `true`.", "anyOf": [settings, { "type": "boolean" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Boot, String> {
        crate::yaml::parse::<std::collections::BTreeMap<String, Boot>>("x.yaml", text).map(|map| map["boot"]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_mapping_says_whether_kernels_are_booted() {
        let plain = BootSettings::default();
        assert_eq!(read("boot: true").unwrap(), Boot { on: true, settings: plain });
        assert_eq!(read("boot: false").unwrap(), Boot { on: false, settings: plain });
        let settings = BootSettings { timeout: Seconds::try_from(300).ok(), enforce_signatures: true, together: true };
        assert_eq!(read("boot: {timeout: 300, enforce_signatures: true, together: true}").unwrap(), Boot { on: true, settings });
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["boot: yes please", "boot: {timeout: 0}", "boot: {timeuot: 3}", "boot: 3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
