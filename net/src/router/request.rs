//! [`Request`]: what `/oscrouter/register` asks for.
//!
//! The original puts every argument through Python's `str()`: a user may be called 1, who is "1", or from Pd 1.0. Not for:
//! whether it is granted (`door`).

use super::refusal::Refusal;
use super::secret::{Digest, Secret, Tag};
use crate::osc::{Arg, Message};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// Names and ids (bytes).
const MAX_NAME: usize = 255;
const MAX_PASSWORD: usize = 1_024;
/// The sixth argument of those who want to be told why something was refused.
const ERRORS: &[u8] = b"errors";

/// Who wants to be whom, and where. No password is in it.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) user: Box<[u8]>,
    pub(super) group: Box<[u8]>,
    /// Comes back in the answer.
    pub(super) id: Box<[u8]>,
    pub(super) user_tag: Tag,
    pub(super) group_tag: Tag,
    pub(super) user_password: Digest,
    pub(super) group_password: Digest,
}

/// Whether a registration asks for reasons.
pub(super) fn wants_errors(message: &Message<'_>) -> bool {
    message.args().nth(5).and_then(Arg::text) == Some(ERRORS)
}

impl Request {
    /// What a message asks for: user, password, group, password, and an id, which is 0 if it is left out.
    pub(super) fn read(message: &Message<'_>, secret: &Secret) -> Result<Request, Refusal> {
        let mut args = message.args();
        let mut next = |limit| {
            let text = as_text(args.next().ok_or(Refusal::Arguments)?).ok_or(Refusal::Arguments)?;
            if text.len() > limit { Err(Refusal::TooLong) } else { Ok(Zeroizing::new(text.into_owned())) }
        };
        let [user, user_password] = [next(MAX_NAME)?, next(MAX_PASSWORD)?];
        let [group, group_password] = [next(MAX_NAME)?, next(MAX_PASSWORD)?];
        let id = match args.next() {
            None => Cow::from(&b"0"[..]),
            Some(id) => as_text(id).ok_or(Refusal::Arguments)?,
        };
        if id.len() > MAX_NAME {
            return Err(Refusal::TooLong);
        }
        if user.is_empty() || user_password.is_empty() {
            return Err(Refusal::Empty);
        }
        Ok(Request {
            user_tag: secret.tag(&user),
            group_tag: secret.tag(&group),
            user_password: secret.user_digest(&group, &user, &user_password),
            group_password: secret.group_digest(&group, &group_password),
            user: user.as_slice().into(),
            group: group.as_slice().into(),
            id: id.into(),
        })
    }
}

/// An argument as Python's `str()` writes it; `None` for what is neither text nor a number.
fn as_text(arg: Arg<'_>) -> Option<Cow<'_, [u8]>> {
    let written = match arg {
        Arg::Str(text) | Arg::Symbol(text) => return Some(text.into()),
        Arg::Int(number) => number.to_string(),
        Arg::Long(number) => number.to_string(),
        Arg::Float(number) => float(number.into()),
        Arg::Double(number) => float(number),
        Arg::True => "True".into(),
        Arg::False => "False".into(),
        Arg::Nil => "None".into(),
        _ => return None,
    };
    Some(written.into_bytes().into())
}

/// A float as Python's `repr()`: the fewest digits that are this number and no other, with an exponent if that is below -4 or
/// above 15.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if (-4..16).contains(&exponent) => {
            let plain = number.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        // As printed by Python 3.11; a float of 32 bits is told to all digits that its double has.
        let rows = [
            (1.0, "1.0"),
            (3.5, "3.5"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (number, written) in rows {
            assert_eq!(float(number), written);
        }
    }
}
