//! The plain form in which stores list objects, read without a decoder; what is of another form is told apart.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use memchr::{memchr, memchr2, memmem};

/// How an object begins and ends.
pub(super) const OPEN: &[u8] = b"<Contents>";
pub(super) const CLOSE: &[u8] = b"</Contents>";

/// The objects of an answer, in its order.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Keys and tags, one after another.
    text: String,
    list: Vec<Place>,
    /// The answer is not of the plain form: it says more than is here.
    pub(super) odd: bool,
}

#[derive(Debug)]
struct Place {
    /// Where its key and then its tag end in the text.
    key: usize,
    etag: usize,
    size: Option<u64>,
    modified: Option<DateTime>,
}

/// One object. A text that the answer lacks is empty.
#[cfg_attr(any(test, fuzzing), derive(Debug, PartialEq))]
pub(super) struct Plain<'a> {
    pub(super) key: &'a str,
    pub(super) etag: &'a str,
    pub(super) size: Option<u64>,
    pub(super) modified: Option<DateTime>,
}

impl Objects {
    pub(super) fn iter(&self) -> impl Iterator<Item = Plain<'_>> {
        let mut begin = 0;
        self.list.iter().map(move |place| {
            let (key, etag) = (&self.text[begin..place.key], &self.text[place.key..place.etag]);
            begin = place.etag;
            Plain { key, etag, size: place.size, modified: place.modified }
        })
    }

    /// Takes one object, `<Contents>` to `</Contents>`; `None` if it is not of the plain form.
    pub(super) fn take(&mut self, object: &[u8]) -> Option<()> {
        let (mut key, mut etag, mut size, mut modified) = (None, None, None, None);
        let mut rest = object.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.trim_ascii_start();
        while !rest.is_empty() {
            let tag = rest.strip_prefix(b"<")?;
            let name = &tag[..memchr(b'>', tag)?];
            if name.is_empty() || !name.iter().all(u8::is_ascii_alphabetic) {
                return None;
            }
            let inside = &tag[name.len() + 1..];
            let end = end_of(inside, name)?;
            rest = inside[end + name.len() + 3..].trim_ascii_start();
            let inside = &inside[..end];
            let field = match name {
                b"Key" => &mut key,
                b"ETag" => &mut etag,
                b"Size" => &mut size,
                b"LastModified" => &mut modified,
                b"Owner" if is_flat(inside) => continue,
                _ if is_plain(inside) => continue,
                _ => return None,
            };
            let text = std::str::from_utf8(inside).ok()?;
            let text = if name == b"ETag" { unquoted(text) } else { text };
            if !is_plain(text.as_bytes()) || field.replace(text).is_some() {
                return None;
            }
        }
        self.text.push_str(key.unwrap_or_default());
        let key = self.text.len();
        self.text.push_str(etag.unwrap_or_default());
        self.list.push(Place {
            key,
            etag: self.text.len(),
            // as the decoder reads them: signed, and of any zone
            size: size.and_then(|size| u64::try_from(size.parse::<i64>().ok()?).ok()),
            modified: modified
                .and_then(|time| DateTime::from_str(time, DateTimeFormat::DateTimeWithOffset).ok()),
        });
        Some(())
    }
}

/// A tag without its quotes, however they are spelled.
fn unquoted(tag: &str) -> &str {
    let without = |quote| tag.strip_prefix(quote)?.strip_suffix(quote);
    ["&quot;", "&#34;"].into_iter().find_map(without).unwrap_or(tag)
}

/// True for text that means itself: what else there is would have to be decoded.
fn is_plain(text: &[u8]) -> bool {
    memchr2(b'&', b'<', text).is_none()
}

/// True for elements of nothing but such text.
fn is_flat(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(begin) = memchr(b'<', text) else { return is_plain(text) };
        let tag = &text[begin + 1..];
        let Some(end) = memchr(b'>', tag) else { return false };
        let (name, inside) = (&tag[..end], &tag[end + 1..]);
        let (name, empty) = name.strip_suffix(b"/").map_or((name, false), |name| (name, true));
        let Some(close) = (if empty { Some(0) } else { end_of(inside, name) }) else { return false };
        let named = !name.is_empty() && name.iter().all(u8::is_ascii_alphabetic);
        if !named || !is_plain(&text[..begin]) || !is_plain(&inside[..close]) {
            return false;
        }
        text = &inside[if empty { 0 } else { close + name.len() + 3 }..];
    }
    true
}

/// How many elements are open where this ends; `None` if that is not plain to see.
pub(super) fn open_after(mut text: &[u8]) -> Option<usize> {
    text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if text.starts_with(b"<?") {
        text = &text[memmem::find(text, b"?>")? + 2..];
    }
    let mut open = 0_usize;
    while let Some(begin) = memchr(b'<', text) {
        let tag = &text[begin + 1..];
        let (mut quote, mut end) = (None, None);
        for (at, byte) in tag.iter().enumerate() {
            match (quote, byte) {
                (None, b'>') => {
                    end = Some(at);
                    break;
                }
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(of), byte) if of == byte => quote = None,
                _ => {}
            }
        }
        let end = end?;
        match tag[..end] {
            // what follows may be in a comment
            [b'!' | b'?', ..] | [] => return None,
            [b'/', ..] => open = open.checked_sub(1)?,
            [.., b'/'] => {}
            _ => open += 1,
        }
        text = &tag[end + 1..];
    }
    Some(open)
}

/// Where `</name>` begins.
fn end_of(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memmem::find(&text[at..], b"</")?;
        if text[at + 2..].strip_prefix(name).is_some_and(|rest| rest.starts_with(b">")) {
            return Some(at);
        }
        at += 2;
    }
}
