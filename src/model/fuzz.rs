//! What has to hold for any bytes, taken as paths and as keys.

use super::{ETag, Key, RelPath, Stamp, TRASH, Trashed, Went};

/// The bytes are two paths, and a key. In paths there is no NUL: it parts the two.
pub(crate) fn holds(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0).map(RelPath::new);
    let (one, other) = (parts.next(), parts.next());
    for path in [&one, &other].into_iter().flatten().flatten() {
        a_path_comes_back(path);
    }
    if let (Some(Ok(one)), Some(Ok(other))) = (one, other) {
        assert_eq!(one == other, Key::of(&one) == Key::of(&other), "two paths, one key");
    }
    if let Ok(text) = std::str::from_utf8(data) {
        a_key_means_a_path_below_the_root(&Key::raw(text));
        the_trash_says_when(text);
    }
}

fn a_path_comes_back(path: &RelPath) {
    let key = Key::of(path);
    assert!(!key.is_reserved(), "{path:?} is ours");
    if path.is_root() {
        assert_eq!((key.as_str(), key.path()), ("", None));
        return;
    }
    assert_eq!(key.path().as_ref(), Some(path), "by way of {key:?}");
    let directory = Key::directory(path);
    assert!(directory.is_directory_marker() && directory.path().is_none(), "{directory:?}");
    let below = Key::of(&path.join(b".s3mirrord").expect("a name"));
    assert!(below.as_str().starts_with(directory.as_str()), "{below:?} is not below {directory:?}");
    let above = path.parent().expect("one that is not the root");
    assert!(key.as_str().starts_with(Key::directory(&above).as_str()), "{key:?} is not below {above:?}");
    assert!(path.is_within(&above) && !above.is_within(path));
    assert_eq!(above.join(path.name()).as_ref(), Ok(path));
}

fn a_key_means_a_path_below_the_root(key: &Key) {
    let Some(path) = key.path() else { return };
    let bytes = path.as_bytes();
    assert!(!bytes.is_empty() && !bytes.contains(&0), "{key:?}");
    assert!(bytes.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")), "{key:?}");
    assert_eq!(&Key::of(&path), key, "two keys, one path: {path:?}");
    assert!(!key.is_reserved() && key.trash_name().is_none());
}

fn the_trash_says_when(text: &str) {
    const AT: i64 = 1_795_953_013;
    let raw = Key::raw(format!("{TRASH}{text}"));
    assert!(raw.path().is_none(), "a file of the trash is no file's");
    let _ = (raw.trashed_at(), raw.trash_day_ends());
    if !text.is_empty() {
        let trashed =
            Trashed::new(&Key::raw(text), &ETag::new(text), Stamp { sec: AT, nsec: 0 }, "t/", Went::Deleted);
        assert_eq!(trashed.key.trashed_at(), Some(AT), "{trashed:?}");
        assert!(trashed.key.path().is_none(), "{trashed:?}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_kept_of_fuzzing_keys_holds() {
        crate::fuzzing::replay("key", super::holds);
    }
}
