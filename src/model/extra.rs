//! What travels with a file beside time, mode and owner, where the operator asks for it.

use super::RootId;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use std::{cmp::Reverse, sync::Arc};

/// What is kept of files beside their bytes. By default time, mode and owner, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// When it was last modified.
    pub mtime: bool,
    /// Permission bits.
    pub mode: bool,
    /// User and group.
    pub owner: bool,
    /// Extended attributes, POSIX ACLs among them.
    pub xattrs: bool,
    /// Which files are one, under several names.
    pub hard_links: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self { mtime: true, mode: true, owner: true, xattrs: false, hard_links: false }
    }
}

impl Keep {
    /// As one number: what is not kept by default has a bit if it is, the rest if it is not.
    pub fn bits(self) -> u8 {
        let Self { mtime, mode, owner, xattrs, hard_links } = self;
        let bits = [xattrs, hard_links, !mtime, !mode, !owner].into_iter().enumerate();
        bits.fold(0, |all, (bit, set)| all | u8::from(set) << bit)
    }

    /// What has this [number](Self::bits); `None`: nothing has.
    pub fn of(bits: u8) -> Option<Self> {
        let has = |bit: u8| bits >> bit & 1 != 0;
        let (mtime, mode, owner) = (!has(2), !has(3), !has(4));
        let keep = Self { mtime, mode, owner, xattrs: has(0), hard_links: has(1) };
        (keep.bits() == bits).then_some(keep)
    }

    /// True if whoever kept `other` kept all of this.
    pub fn is_within(self, other: Self) -> bool {
        let each = |keep: Self| [keep.mtime, keep.mode, keep.owner, keep.xattrs, keep.hard_links];
        each(self).into_iter().zip(each(other)).all(|(this, that)| that || !this)
    }

    /// True if it is more than what every look at a file tells.
    pub fn is_beside(self) -> bool {
        self.xattrs || self.hard_links
    }

    /// Without what is [beside](Self::is_beside).
    pub fn plain(self) -> Self {
        Self { xattrs: false, hard_links: false, ..self }
    }
}

/// What there is of it: of a file, or of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Extended attributes, [packed](Xattrs::pack).
    pub xattrs: Option<Arc<str>>,
    /// The [group](Self::group) of files that are one; `None`: it has no other name.
    pub links: Option<u64>,
    /// The [number](super::Node::number) of a device.
    pub device: Option<u64>,
}

impl Extra {
    /// Tells two of them apart; 0 if there is nothing.
    pub fn digest(&self) -> u64 {
        let all = |numbers: &[u64]| {
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
            first(Sha256::new().chain_update(bytes.collect::<Vec<_>>()))
        };
        let xattrs = self.xattrs.as_deref().map_or(0, |xattrs| first(Sha256::new().chain_update(xattrs)));
        match (self.links, self.device) {
            (None, None) => xattrs,
            (Some(group), None) => all(&[xattrs, group]),
            (links, Some(device)) => all(&[xattrs, links.unwrap_or_default(), device]),
        }
    }

    /// What names of one file have in common: told by its inode and the root, whatever number its disk has.
    pub fn group(root: &RootId, inode: u64) -> u64 {
        let numbers = [root.inode, inode].map(u64::to_le_bytes).concat();
        first(
            Sha256::new().chain_update(numbers).chain_update(root.filesystem.as_deref().unwrap_or_default()),
        )
    }
}

/// The first bytes, never 0.
fn first(hash: Sha256) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// What was looked for when a file was proven last, and what its object was given of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// This was looked for.
    pub looked: Keep,
    /// [That](Extra::digest) of what the object has; 0: nothing.
    pub digest: u64,
}

/// The first byte of what is packed.
const VERSION: u8 = 1;
/// Bytes that each pair takes beside its own: two lengths.
const LENGTHS: usize = 4;

/// Extended attributes: names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Xattrs {
    /// What the packed text has at most, in bytes: S3 takes 2 KiB of metadata, with all else.
    pub const MOST: usize = 1024;

    /// True if those of this name are kept: those of users, and ACLs (acl(5)), which are kept under these names.
    pub fn keeps(name: &[u8]) -> bool {
        let acls: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
        let own = name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty());
        (own || acls.contains(&name)) && name.len() <= 255 && !name.contains(&0)
    }

    /// One line of ASCII, the same for the same pairs, and the names that it had no room for: the largest are left out.
    pub fn pack(mut self, most: usize) -> (Option<Arc<str>>, Vec<Vec<u8>>) {
        let pairs = &mut self.0;
        let takes = |(name, value): &(Vec<u8>, Vec<u8>)| LENGTHS + name.len() + value.len();
        pairs.sort_by_cached_key(|pair| (takes(pair), pair.0.clone()));
        let (mut fits, room) = (0, (most / 4 * 3).saturating_sub(1));
        let mut taken = 0;
        while let Some(pair) = pairs.get(fits).filter(|pair| taken + takes(pair) <= room) {
            taken += takes(pair);
            fits += 1;
        }
        let mut left_out: Vec<_> = pairs.split_off(fits).into_iter().map(|(name, _)| name).collect();
        left_out.sort();
        if pairs.is_empty() {
            return (None, left_out);
        }
        pairs.sort();
        let mut bytes = vec![VERSION];
        for (name, value) in pairs {
            for text in [name, value] {
                // what has more had no room
                bytes.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
                bytes.extend_from_slice(text);
            }
        }
        (Some(BASE64_STANDARD.encode(bytes).into()), left_out)
    }

    /// Reads what [`pack`](Self::pack) wrote; `None` if it is something else. Pairs whose name is not [kept](Self::keeps)
    /// are not taken from anybody.
    pub fn unpack(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let mut next = || {
            let (len, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
            rest = after;
            Some((text.to_vec(), after.is_empty()))
        };
        let mut pairs = vec![];
        loop {
            let ((name, _), (value, last)) = (next()?, next()?);
            if Self::keeps(&name) {
                pairs.push((name, value));
            }
            if last {
                break;
            }
        }
        pairs.sort_by_key(|(name, _)| Reverse(name.clone()));
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        Some(Self(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str, value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (name.as_bytes().to_vec(), value.to_vec())
    }

    #[test]
    fn what_is_packed_is_what_the_documents_say() {
        let all = Xattrs(vec![pair("user.b", b"\0\xff"), pair("user.a", b"")]);
        let (text, left_out) = all.pack(Xattrs::MOST);
        assert_eq!(left_out, [[0; 0]; 0]);
        let text = text.expect("there are some");
        assert_eq!(&*text, "AQAGdXNlci5hAAAABnVzZXIuYgACAP8=");
        assert_eq!(Xattrs::unpack(&text).expect("ours").0, [pair("user.a", b""), pair("user.b", b"\0\xff")]);
        assert_eq!(Xattrs::default().pack(Xattrs::MOST), (None, vec![]));
        assert_eq!(
            (Extra::default().digest(), Extra { xattrs: Some(text), ..Extra::default() }.digest() > 0),
            (0, true)
        );
    }

    #[test]
    fn the_largest_are_left_out() {
        let all =
            Xattrs(vec![pair("user.large", &[1; 900]), pair("user.a", &[2; 300]), pair("user.b", b"3")]);
        let (text, left_out) = all.pack(Xattrs::MOST);
        assert_eq!(left_out, [b"user.large"]);
        let names: Vec<_> = Xattrs::unpack(&text.expect("two")).expect("ours").0;
        assert_eq!(names, [pair("user.a", &[2; 300]), pair("user.b", b"3")]);
        // one that fits to the byte, and one that does not
        let room = Xattrs::MOST / 4 * 3 - 1 - 4 - 6;
        let (text, _) = Xattrs(vec![pair("user.a", &vec![0; room])]).pack(Xattrs::MOST);
        assert_eq!(text.expect("it fits").len(), Xattrs::MOST);
        assert_eq!(Xattrs(vec![pair("user.a", &vec![0; room + 1])]).pack(Xattrs::MOST).0, None);
        assert_eq!(Xattrs(vec![pair("user.a", &vec![0; 65_536])]).pack(Xattrs::MOST).0, None);
    }

    #[test]
    fn names_that_give_rights_to_programs_are_taken_from_nobody() {
        for (name, want) in [
            ("user.a", true),
            ("system.posix_acl_access", true),
            ("system.posix_acl_default", true),
            ("user.", false),
            ("security.capability", false),
            ("trusted.overlay.opaque", false),
            ("system.nfs4_acl", false),
            ("user.a\0b", false),
            ("", false),
        ] {
            assert_eq!(Xattrs::keeps(name.as_bytes()), want, "{name}");
            let (text, _) = Xattrs(vec![pair(name, b"x"), pair("user.z", b"")]).pack(Xattrs::MOST);
            let read = Xattrs::unpack(&text.expect("packed")).expect("read").0;
            assert_eq!(read.iter().any(|(read, _)| read == name.as_bytes()), want, "{name}");
        }
        for other in ["", "AA==", "AQ==", "no base64", "AgAGdXNlci5hAAA=", "AQAGdXNlci5h"] {
            assert_eq!(Xattrs::unpack(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_kept_has_a_number_of_its_own() {
        // what a ledger has of before there was a choice
        assert_eq!((Keep::default().bits(), Keep { xattrs: true, ..Keep::default() }.bits()), (0, 1));
        let all: Vec<_> = (0..32).map(|bits| Keep::of(bits).expect("of five settings each")).collect();
        for (bits, keep) in (0..).zip(&all) {
            assert_eq!(keep.bits(), bits);
            for other in &all {
                let lacks = |this: bool, that: bool| this && !that;
                let want = !(lacks(keep.mtime, other.mtime)
                    || lacks(keep.mode, other.mode)
                    || lacks(keep.owner, other.owner)
                    || lacks(keep.xattrs, other.xattrs)
                    || lacks(keep.hard_links, other.hard_links));
                assert_eq!(keep.is_within(*other), want, "{keep:?} {other:?}");
            }
        }
        assert_eq!((Keep::of(0x20), Keep::of(0x80)), (None, None));
    }

    #[test]
    fn names_of_one_file_have_one_group_and_others_have_others() {
        let root =
            |inode, filesystem: Option<&str>| RootId { inode, filesystem: filesystem.map(str::to_owned) };
        let of = Extra::group(&root(2, Some("a")), 7);
        assert_eq!(Extra::group(&root(2, Some("a")), 7), of);
        for other in
            [(root(2, Some("a")), 8), (root(2, Some("b")), 7), (root(3, Some("a")), 7), (root(2, None), 7)]
        {
            assert_ne!(Extra::group(&other.0, other.1), of, "{other:?}");
        }
        let extra = |xattrs: Option<&str>, links| {
            Extra { xattrs: xattrs.map(Into::into), links, device: None }.digest()
        };
        let device = |device| Extra { device: Some(device), ..Extra::default() }.digest();
        let all = [
            device(0),
            device(1),
            extra(None, None),
            extra(None, Some(1)),
            extra(None, Some(2)),
            extra(Some("x"), None),
            extra(Some("x"), Some(1)),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }

    proptest! {
        #[test]
        fn all_pairs_come_back(all: std::collections::BTreeMap<String, Vec<u8>>) {
            let all: Vec<_> = all.into_iter().map(|(name, value)| pair(&format!("user.{name}"), &value))
                .filter(|(name, _)| Xattrs::keeps(name)).collect();
            let (text, left_out) = Xattrs(all.iter().cloned().rev().collect()).pack(1 << 20);
            prop_assert!(left_out.is_empty());
            prop_assert_eq!(text.map_or(Some(vec![]), |text| Xattrs::unpack(&text).map(|x| x.0)), Some(all));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, bytes: Vec<u8>) {
            let _ = Xattrs::unpack(&text);
            let _ = Xattrs::unpack(&BASE64_STANDARD.encode([&[VERSION][..], &bytes].concat()));
        }
    }
}
