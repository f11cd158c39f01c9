//! OSC arguments as text: from the command line to [`Arg`]s (`send`), and back (`send --reply`, `listen`).
//!
//! Not for: the bytes on the wire (the net crate's `osc`).

use crate::quantity::{self, rfc3339};
use anyhow::{anyhow, bail};
use downbeat_net::osc::Arg;
use downbeat_sync::EnsembleTime;
use serde_json::{Value as Json, json};

/// An argument that owns its text or bytes; it lends an [`Arg`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Everything that owns nothing.
    Plain(Arg<'static>),
    /// `s`
    Str(String),
    /// `S`
    Symbol(String),
    /// `b`
    Blob(Vec<u8>),
}

impl Value {
    /// The argument as the writer takes it.
    pub(crate) fn as_arg(&self) -> Arg<'_> {
        match self {
            Value::Plain(arg) => *arg,
            Value::Str(text) => Arg::Str(text.as_bytes()),
            Value::Symbol(text) => Arg::Symbol(text.as_bytes()),
            Value::Blob(bytes) => Arg::Blob(bytes),
        }
    }

    /// The type a person most likely means: `1` an int, `1.0` a float, `true` and `false` themselves, the rest strings.
    pub(crate) fn guess(text: &str) -> Value {
        let looks_like_a_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        let plain = match text {
            "true" => Some(Arg::True),
            "false" => Some(Arg::False),
            _ if !looks_like_a_number => None,
            _ => (text.parse().map(Arg::Int).ok())
                .or_else(|| text.parse().map(Arg::Long).ok())
                .or_else(|| text.parse().map(Arg::Float).ok()),
        };
        plain.map_or_else(|| Value::Str(text.to_owned()), Value::Plain)
    }

    /// The argument of this type tag; `None` if the tag has no data.
    fn bare(tag: char) -> Option<Value> {
        let arg = match tag {
            'T' => Arg::True,
            'F' => Arg::False,
            'N' => Arg::Nil,
            'I' => Arg::Impulse,
            '[' => Arg::ArrayStart,
            ']' => Arg::ArrayEnd,
            _ => return None,
        };
        Some(Value::Plain(arg))
    }

    /// Reads the text of an argument of this type tag; `now` is what a relative timetag counts from.
    fn typed(tag: char, text: &str, now: EnsembleTime) -> anyhow::Result<Value> {
        let wants = |what: &str| anyhow!("{tag} wants {what}, not {text:?}");
        Ok(Value::Plain(match tag {
            'i' => Arg::Int(text.parse().map_err(|_| wants("an integer of 32 bits"))?),
            'h' => Arg::Long(text.parse().map_err(|_| wants("an integer of 64 bits"))?),
            'f' => Arg::Float(text.parse().map_err(|_| wants("a number"))?),
            'd' => Arg::Double(text.parse().map_err(|_| wants("a number"))?),
            't' => Arg::Time(match text {
                "now" => 1,
                _ => quantity::instant(text).map_err(|why| anyhow!("t: {why}"))?.from(now).bits(),
            }),
            'c' => Arg::Char(text.parse::<char>().map_err(|_| wants("one character"))?.into()),
            'r' => Arg::Rgba(four_bytes(text).ok_or_else(|| wants("eight hex digits, rrggbbaa"))?),
            'm' => {
                Arg::Midi(four_bytes(text).ok_or_else(|| wants("eight hex digits: port status data data"))?)
            }
            's' => return Ok(Value::Str(text.to_owned())),
            'S' => return Ok(Value::Symbol(text.to_owned())),
            'b' => return bytes(text).map(Value::Blob).ok_or_else(|| wants("pairs of hex digits")),
            _ => bail!("there is no type {tag:?}; there are i h f d s S c b r m t T F N I [ ]"),
        }))
    }
}

/// The arguments of a message: guessed, or of the types given.
pub(crate) fn values(texts: &[String], types: Option<&str>, now: EnsembleTime) -> anyhow::Result<Vec<Value>> {
    let Some(types) = types else {
        return Ok(texts.iter().map(|text| Value::guess(text)).collect());
    };
    let mut texts = texts.iter();
    let mut values = Vec::new();
    for tag in types.trim_start_matches(',').chars() {
        values.push(match Value::bare(tag) {
            Some(value) => value,
            None => {
                let text = texts.next().ok_or_else(|| anyhow!("--types {types} wants more arguments"))?;
                Value::typed(tag, text, now)?
            }
        });
    }
    match texts.next() {
        Some(text) => bail!("--types {types} has no letter for {text:?}"),
        None => Ok(values),
    }
}

/// An argument for a person.
pub(crate) fn text(arg: Arg<'_>) -> String {
    match arg {
        Arg::Int(x) => x.to_string(),
        Arg::Long(x) => x.to_string(),
        Arg::Float(x) => format!("{x:?}"),
        Arg::Double(x) => format!("{x:?}"),
        Arg::Str(text) | Arg::Symbol(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Arg::Char(code) => char::from_u32(code).map_or(code.to_string(), |c| format!("{c:?}")),
        Arg::Blob(bytes) => format!("<{}>", hex(bytes)),
        Arg::Rgba(bytes) => format!("#{}", hex(&bytes)),
        Arg::Midi(bytes) => format!("midi:{}", hex(&bytes)),
        Arg::Time(bits) => timetag(bits),
        Arg::True => "true".to_owned(),
        Arg::False => "false".to_owned(),
        Arg::Nil => "nil".to_owned(),
        Arg::Impulse => "impulse".to_owned(),
        Arg::ArrayStart => "[".to_owned(),
        Arg::ArrayEnd => "]".to_owned(),
    }
}

/// An argument for a program. What JSON cannot hold (NaN, bytes, times) becomes text; arrays stay flat, as `"["`.
pub(crate) fn json(arg: Arg<'_>) -> Json {
    match arg {
        Arg::Int(x) => json!(x),
        Arg::Long(x) => json!(x),
        Arg::Float(x) if x.is_finite() => json!(x),
        Arg::Double(x) if x.is_finite() => json!(x),
        Arg::Str(text) | Arg::Symbol(text) => json!(String::from_utf8_lossy(text)),
        Arg::Char(code) => json!(char::from_u32(code).map_or(code.to_string(), String::from)),
        Arg::Blob(bytes) => json!(hex(bytes)),
        Arg::Rgba(bytes) | Arg::Midi(bytes) => json!(hex(&bytes)),
        Arg::True => json!(true),
        Arg::False => json!(false),
        Arg::Nil => Json::Null,
        other => json!(text(other)),
    }
}

/// A timetag for a person.
pub(crate) fn timetag(bits: u64) -> String {
    EnsembleTime::from_timetag(bits).map_or("now".to_owned(), rfc3339)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let pair = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

fn four_bytes(text: &str) -> Option<[u8; 4]> {
    bytes(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EnsembleTime = EnsembleTime::from_bits(1 << 63);

    fn typed(types: &str, texts: &[&str]) -> anyhow::Result<Vec<Value>> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        values(&texts, Some(types), NOW)
    }

    #[test]
    fn guesses_are_what_a_person_means() {
        use Value::{Plain, Str};
        for (text, value) in [
            ("1", Plain(Arg::Int(1))),
            ("-7", Plain(Arg::Int(-7))),
            ("4294967296", Plain(Arg::Long(1 << 32))),
            ("0.5", Plain(Arg::Float(0.5))),
            ("-1e3", Plain(Arg::Float(-1000.0))),
            ("true", Plain(Arg::True)),
            ("kick", Str("kick".into())),
            ("nan", Str("nan".into())),
            ("infinity", Str("infinity".into())),
            ("-", Str("-".into())),
            ("", Str(String::new())),
        ] {
            assert_eq!(Value::guess(text), value, "{text}");
        }
    }

    #[test]
    fn every_type_reads_back_as_written() {
        let words = ["1", "2", "3.5", "4.5", "text", "sym", "c", "00ff", "11223344", "0090407f", "now", "7"];
        let values = typed("ihfdsScbrmtTFNI[i]", &words).expect("all are of their type");
        let texts: Vec<_> = values.iter().map(|value| text(value.as_arg())).collect();
        let expected = [
            "1",
            "2",
            "3.5",
            "4.5",
            "\"text\"",
            "\"sym\"",
            "'c'",
            "<00ff>",
            "#11223344",
            "midi:0090407f",
            "now",
            "true",
            "false",
            "nil",
            "impulse",
            "[",
            "7",
            "]",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn wrong_text_and_wrong_counts_are_refused() {
        for (types, words) in [
            ("i", &["1.5"][..]),
            ("i", &["4294967296"]),
            ("f", &["loud"]),
            ("c", &["ab"]),
            ("b", &["0f0"]),
            ("b", &["zz"]),
            ("r", &["112233"]),
            ("t", &["later"]),
            ("ii", &["1"]),
            ("i", &["1", "2"]),
            ("x", &["1"]),
        ] {
            assert!(typed(types, words).is_err(), "{types} {words:?}");
        }
    }

    #[test]
    fn a_relative_timetag_counts_from_now() {
        let ahead = typed("t", &["+1s"]).expect("it is an instant");
        assert_eq!(ahead, [Value::Plain(Arg::Time((1 << 63) + (1 << 32)))]);
    }
}
