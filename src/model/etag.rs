//! The tag of an object's content.
//!
//! Nearly all tags are an MD5, spelled in one way, and there are two of them (the bucket's and the ledger's) for
//! every file that is looked at: kept as 16 bytes they need no memory of their own and no comparison of texts.

use std::{fmt, num::NonZeroU32, sync::Arc};

/// An entity tag, without its quotes. Not necessarily a digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ETag(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// 32 lower-case hexadecimal digits, and `-N` if there is one. Never the other spelling of the same text.
    Md5([u8; 16], Option<NonZeroU32>),
    Other(Arc<str>),
}

impl ETag {
    /// Takes a tag with or without quotes.
    pub fn new(text: &str) -> Self {
        let text = text.trim_matches('"');
        match md5(text) {
            Some((digest, parts)) => Self::of_md5(digest, parts),
            None => Self(Form::Other(text.into())),
        }
    }

    /// The tag that is this digest in lower case and, with parts, `-N`.
    pub fn of_md5(digest: [u8; 16], parts: Option<NonZeroU32>) -> Self {
        Self(Form::Md5(digest, parts))
    }

    /// What [`ETag::of_md5`] made it of, or would have.
    pub fn as_md5(&self) -> Option<([u8; 16], Option<NonZeroU32>)> {
        match self.0 {
            Form::Md5(digest, parts) => Some((digest, parts)),
            Form::Other(_) => None,
        }
    }

    /// True for one of no text: not a tag.
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Other(text) if text.is_empty())
    }

    /// As `If-Match` wants it.
    pub fn quoted(&self) -> String {
        format!("\"{self}\"")
    }

    /// `N` of a multipart ETag `…-N`.
    pub fn parts(&self) -> Option<u32> {
        match &self.0 {
            Form::Md5(_, parts) => parts.map(NonZeroU32::get),
            Form::Other(text) => {
                let (digest, n) = text.rsplit_once('-')?;
                (digest.len() == 32).then_some(())?;
                n.parse().ok()
            }
        }
    }

    /// True if it has the form of an MD5 digest (which KMS and SSE-C tags share).
    pub fn looks_like_md5(&self) -> bool {
        match &self.0 {
            Form::Md5(_, parts) => parts.is_none(),
            Form::Other(text) => text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        }
    }
}

/// The digest, and the `N` behind it, that are spelled like this.
fn md5(text: &str) -> Option<([u8; 16], Option<NonZeroU32>)> {
    let (digits, rest) = text.as_bytes().split_at_checked(32)?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 16];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    let parts = match rest {
        [] => None,
        [b'-', n @ ..] if n.first().is_some_and(|first| matches!(first, b'1'..=b'9')) => {
            Some(std::str::from_utf8(n).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    Some((digest, parts))
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Other(text) => f.write_str(text),
            Form::Md5(digest, parts) => {
                f.write_str(&hex::encode(digest))?;
                parts.map_or(Ok(()), |parts| write!(f, "-{parts}"))
            }
        }
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MD5: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn etags_tell_their_form() {
        let multi = ETag::new(&format!("\"{MD5}-17\""));
        assert_eq!((multi.parts(), multi.looks_like_md5()), (Some(17), false));
        let plain = ETag::new(MD5);
        assert_eq!((plain.parts(), plain.looks_like_md5()), (None, true));
        assert_eq!(plain.quoted(), format!("\"{MD5}\""));
        let upper = ETag::new(&MD5.to_uppercase());
        assert_eq!((upper.parts(), upper.looks_like_md5(), upper.as_md5()), (None, true, None));
        let odd = ETag::new("x-2");
        assert_eq!((odd.parts(), odd.looks_like_md5()), (None, false));
        assert!(ETag::new("\"\"").is_empty() && !odd.is_empty());
        assert_eq!(format!("{odd:?}"), "\"x-2\"");
    }

    #[test]
    fn only_what_is_spelled_as_a_digest_is_one() {
        let digest = [1, 35, 69, 103, 137, 171, 205, 239, 1, 35, 69, 103, 137, 171, 205, 239];
        assert_eq!(ETag::new(MD5).as_md5(), Some((digest, None)));
        assert_eq!(ETag::new(&format!("{MD5}-17")).as_md5(), Some((digest, NonZeroU32::new(17))));
        for other in [
            "0123456789abcdef0123456789abcdeg".to_owned(),
            "0123456789ABCDEF".to_owned(),
            format!("{MD5}0"),
            format!("{MD5}-0"),
            format!("{MD5}-017"),
            format!("{MD5}17"),
        ] {
            let tag = ETag::new(&other);
            assert_eq!((tag.as_md5(), tag.looks_like_md5()), (None, false), "{other}");
        }
    }

    #[test]
    fn a_tag_is_small() {
        assert_eq!(size_of::<ETag>(), 24);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(digits in "[0-9a-fA-F]{30,33}", rest in "(-[0-9+]{0,11})?", odd in "[^\"]{0,40}") {
            for text in [format!("{MD5}{rest}"), format!("{}{rest}", digits.to_lowercase()), digits + &rest, odd] {
                let tag = ETag::new(&text);
                prop_assert_eq!(tag.to_string(), text);
                if let Some((digest, parts)) = tag.as_md5() {
                    prop_assert_eq!(ETag::of_md5(digest, parts), tag);
                }
            }
        }
    }
}
