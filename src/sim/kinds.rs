//! The names of an enum's variants as scenarios and outputs write them: `OldEpoch` is `old-epoch`.
//!
//! They are taken from the type's own serialisation, so that a new refusal or alert can be named in a scenario and is
//! counted without any list being kept beside it.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// All the kinds of an enum.
pub fn kinds_of<T: DeserializeOwned>() -> Vec<String> {
    let mut variants: &'static [&'static str] = &[];
    // It always fails: it is there to be asked for its variants, and holds no value.
    let _never_a_value = T::deserialize(Asker { variants: &mut variants });
    variants.iter().map(|variant| kebab(variant)).collect()
}

/// The kind of a value of an enum.
pub fn kind_of<T: serde::Serialize>(value: &T) -> String {
    let name = match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    kebab(&name)
}

/// `OldEpoch` as `old-epoch`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

struct Asker<'a> {
    variants: &'a mut &'static [&'static str],
}

#[derive(Debug)]
struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked for its variants")
    }
}

impl std::error::Error for Asked {}

impl serde::de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Asked
    }
}

impl<'de> Deserializer<'de> for Asker<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked::custom("no enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        *self.variants = variants;
        Err(Asked)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reason::{Alert, HostState, Refusal, Unfit, Wait};

    #[test]
    fn an_enum_knows_its_kinds() {
        let refusals = kinds_of::<Refusal>();
        assert!(refusals.contains(&"old-epoch".to_owned()) && refusals.contains(&"unfit".to_owned()));
        assert_eq!(kinds_of::<HostState>(), HostState::ALL.map(|state| state.name().to_owned()));
        assert!(kinds_of::<Alert>().contains(&"dead-shows-life".to_owned()));
    }

    #[test]
    fn a_value_knows_its_kind() {
        assert_eq!(kind_of(&Refusal::Unfit(Unfit::Busy)), "unfit");
        assert_eq!(kind_of(&Wait::Proof(Vec::new())), "proof");
        assert_eq!(kind_of(&Wait::Retry { attempts: 1, milliseconds: 2, last: None }), "retry");
        assert_eq!(kind_of(&Alert::NoMajority), "no-majority");
    }
}
