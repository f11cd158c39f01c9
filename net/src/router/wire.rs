//! The router's own packets, byte for byte as the original writes them, and what it takes out of packets and puts into others.
//!
//! Names are bytes here, whatever text they are, and arguments are copied as they stand. Not for: when they are sent
//! (`door`, `post`).

use crate::osc::Message;

/// Commands of clients.
pub(super) const REGISTER: &[u8] = b"/oscrouter/register";
pub(super) const PRIVATE: &[u8] = b"/oscrouter/private";
pub(super) const PING: &[u8] = b"/oscrouter/ping";
/// What only the router sends, beside `/oscrouter/register/` with a name and an id.
pub(super) const USER_LIST: &[u8] = b"/oscrouter/userlist";
pub(super) const ERROR: &[u8] = b"/oscrouter/error";

const BUNDLE: &[u8] = b"#bundle\0";
/// Of a bundle, before its elements: the word and the timetag.
const BUNDLE_HEAD: usize = 16;

/// The address that answers a registration: `/oscrouter/register/alice/4242`.
pub(super) fn registered_address(user: &[u8], id: &[u8]) -> Box<[u8]> {
    [REGISTER, user, id].join(&b'/').into()
}

/// A message of an address alone.
pub(super) fn bare(address: &[u8]) -> Vec<u8> {
    texts(address, std::iter::empty())
}

pub(super) fn user_list<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Vec<u8> {
    texts(USER_LIST, names)
}

pub(super) fn error(reason: &str) -> Vec<u8> {
    texts(ERROR, std::iter::once(reason.as_bytes()))
}

/// What the addressee of a private message gets: the sender's name in the place of his own, the rest as it came. `None` if the
/// message names nobody, or says nothing.
pub(super) fn private(sender: &[u8], message: &Message<'_>) -> Option<Vec<u8>> {
    let tags = message.tags()?;
    let to = message.args().next()?.text()?;
    let rest = message.data().get(padded(to.len())..).filter(|_| tags.len() > 1)?;
    let mut out = Vec::with_capacity(message.bytes().len() + padded(sender.len()));
    text(&mut out, PRIVATE);
    text(&mut out, &[b",s", &tags[1..]].concat());
    text(&mut out, sender);
    out.extend_from_slice(rest);
    Some(out)
}

/// A packet in a bundle of this timetag.
pub(super) fn bundled(timetag: u64, packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BUNDLE_HEAD + 4 + packet.len());
    out.extend_from_slice(BUNDLE);
    out.extend_from_slice(&timetag.to_be_bytes());
    out.extend_from_slice(&(packet.len() as u32).to_be_bytes());
    out.extend_from_slice(packet);
    out
}

/// A bundle, which was read to its end without an error, without those of its messages that `keep` does not keep. Everything
/// else is as it was: bundles, their timetags, their order.
pub(super) fn filtered(bundle: &[u8], mut keep: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bundle.len());
    let Some((head, _)) = bundle.split_at_checked(BUNDLE_HEAD) else { return out };
    out.extend_from_slice(head);
    let mut at = BUNDLE_HEAD;
    // The bundles around `at`: where each ends in the packet, and where its size stands in `out`, which it has not yet.
    let mut around = vec![(bundle.len(), None)];
    while let Some((end, size_at)) = around.last().copied() {
        if at >= end {
            around.pop();
            if let Some(size_at) = size_at {
                let size = (out.len() - size_at - 4) as u32;
                out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
            }
            continue;
        }
        let Some((size, rest)) = bundle[at..].split_first_chunk() else { break };
        let Some(element) = rest.get(..u32::from_be_bytes(*size) as usize) else { break };
        at += 4;
        if element.starts_with(BUNDLE) {
            around.push((at + element.len(), Some(out.len())));
            out.extend_from_slice(size);
            out.extend_from_slice(&element[..BUNDLE_HEAD.min(element.len())]);
            at += BUNDLE_HEAD;
        } else {
            if keep(element) {
                out.extend_from_slice(size);
                out.extend_from_slice(element);
            }
            at += element.len();
        }
    }
    out
}

/// A message of strings.
fn texts<'t>(address: &[u8], texts: impl Iterator<Item = &'t [u8]> + Clone) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, address);
    let tags: Vec<u8> = std::iter::once(b',').chain(texts.clone().map(|_| b's')).collect();
    text(&mut out, &tags);
    texts.for_each(|string| text(&mut out, string));
    out
}

/// A string with one to four zeros.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + padded(bytes.len()) - bytes.len(), 0);
}

/// How long a string is with its zeros.
fn padded(length: usize) -> usize {
    (length / 4 + 1) * 4
}
