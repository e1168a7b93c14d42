//! Where a package repository is fetched from.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A mirror of a package repository: an address, or a mapping that says more about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageMirror {
    /// What takes the place of the official prefix.
    pub url: String,
    /// Indexes are taken from it without a signature.
    pub trusted: bool,
}

impl From<&str> for PackageMirror {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), trusted: false }
    }
}

/// How a mirror is written when there is more to say than its address.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What takes the place of the official prefix.
    url: String,
    /// Take its indexes without a signature: for a private mirror that changes them and cannot sign. Records say so.
    #[serde(default)]
    trusted: bool,
}

impl Serialize for PackageMirror {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.trusted { Written { url: self.url.clone(), trusted: true }.serialize(serializer) } else { self.url.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for PackageMirror {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MirrorVisitor)
    }
}

struct MirrorVisitor;

impl<'de> Visitor<'de> for MirrorVisitor {
    type Value = PackageMirror;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a mapping with `url` and `trusted`")
    }

    fn visit_str<E>(self, url: &str) -> Result<PackageMirror, E> {
        Ok(url.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PackageMirror, A::Error> {
        let Written { url, trusted } = Written::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PackageMirror { url, trusted })
    }
}

impl JsonSchema for PackageMirror {
    fn schema_name() -> Cow<'static, str> {
        "PackageMirror".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let written = Written::json_schema(generator);
        json_schema!({ "description": "A mirror of a package repository: an address, or a mapping that says more about it.", "anyOf": [written, { "type": "string" }] })
    }
}
