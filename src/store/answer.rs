//! What is done only if S3 says so. The SDK takes a 200 for that whatever its body is: of an answer that has none in S3
//! it reads the headers alone, so that a proxy's or a login page with an ETag would pass for a confirmation. And of XML it
//! takes what there is: a listing that is cut would be a shorter one, half a tag a tag, and a key that is cut off may
//! be that of another object.

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::AfterDeserializationInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use memchr::memmem;

/// Fails on an answer of success that is none of S3's, or lacks its end.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        // the body of these is the object, or none
        if context.output_or_error().is_err() || matches!(operation, "GetObject" | "HeadObject") {
            return Ok(());
        }
        let answer = context.response();
        let html = answer.headers().get("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        match flaw(operation, html, answer.body().bytes().unwrap_or_default()) {
            Some(flaw) => Err(format!("not an S3 answer: {flaw}").into()),
            None => Ok(()),
        }
    }
}

/// What is wrong with the body of an answer; `html` if its headers call it that.
fn flaw(operation: &str, html: bool, body: &[u8]) -> Option<&'static str> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    const SILENT: [&str; 5] =
        ["PutObject", "UploadPart", "DeleteObject", "AbortMultipartUpload", "PutObjectTagging"];
    let silent = SILENT.contains(&operation);
    // some stores call an empty answer HTML
    if silent && body.is_empty() {
        return None;
    }
    match root(body) {
        _ if silent && html => Some("it is HTML"),
        Some((name, _)) if name.eq_ignore_ascii_case(b"html") => Some("it is HTML"),
        Some((_, element)) if !silent && is_interrupted(element) => Some("it holds CDATA or a comment"),
        Some((name, element)) if is_closed(name, element) => None,
        None if silent => Some("it is no XML"),
        _ => Some("it lacks its end"),
    }
}

/// The name of the root element, and the text from where it begins. `None` if none begins.
fn root(mut text: &[u8]) -> Option<(&[u8], &[u8])> {
    loop {
        let end: &[u8] = match text {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            [b'<', b'!', ..] => b">",
            _ => break,
        };
        text = text[memmem::find(text, end)? + end.len()..].trim_ascii_start();
    }
    let tag = text.strip_prefix(b"<")?;
    let end = tag.iter().position(|byte| matches!(byte, b'/' | b'>') || byte.is_ascii_whitespace())?;
    (end > 0).then_some((&tag[..end], text))
}

/// True if the text ends with the end of this element.
fn is_closed(name: &[u8], element: &[u8]) -> bool {
    let Some(rest) = element.strip_suffix(b">") else { return false };
    let ends = rest.trim_ascii_end().strip_suffix(name).is_some_and(|rest| rest.ends_with(b"</"));
    ends || rest.ends_with(b"/") && !rest.contains(&b'>')
}

/// True if text may go on behind a comment, CDATA or an instruction: of such the SDK takes the first piece alone.
fn is_interrupted(element: &[u8]) -> bool {
    memmem::find(element, b"<!").is_some() || memmem::find(element, b"<?").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c45_what_s3_says_nothing_to_is_answered_by_nothing_or_by_xml() {
        for (html, body, want) in [
            (false, "", None),
            (true, " \r\n", None),
            (false, "<?xml version=\"1.0\"?><PutObjectResult/>", None),
            (true, "Log in", Some("it is HTML")),
            (true, "<R/>", Some("it is HTML")),
            (false, "<html>Log in</html>", Some("it is HTML")),
            (false, "\u{feff}<!DOCTYPE html>\n<!-- a > b --><HTML lang=\"en\">", Some("it is HTML")),
            (false, "<?xml version=\"1.0\"?>\n<!DOCTYPE html><html/>", Some("it is HTML")),
            (false, "{\"error\":\"log in\"}", Some("it is no XML")),
            (false, "Unauthorized", Some("it is no XML")),
            (false, "<Result>", Some("it lacks its end")),
        ] {
            assert_eq!(flaw("PutObject", html, body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn c42_c46_of_an_answer_nothing_may_be_missing() {
        let flawed = |body: &str| flaw("ListObjectsV2", false, body.as_bytes()).is_some();
        for whole in [
            "<ListBucketResult/>",
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\" />",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"http://x/\"><A/><R2>1</R2><B>a&gt;b</B></R>",
            "<?xml version=\"1.0\"?>  \n \n<!-- kept alive --><s3:R xmlns:s3=\"x\"><s3:A></s3:A></s3:R >",
            "<R><R>a</R><S/></R>",
        ] {
            for (before, after) in [("", ""), ("", "\r\n \t"), ("\u{feff}", "\n"), (" \n", "")] {
                assert!(!flawed(&format!("{before}{whole}{after}")), "{whole}");
            }
            for cut in (0..whole.len()).map(|n| &whole[..n]).filter(|cut| *cut != "<R><R>a</R>") {
                assert!(flawed(cut), "{cut}");
            }
        }
        assert!(flawed("<html><body>Log in</body></html>"));
    }

    #[test]
    fn c45_an_answer_of_which_the_sdk_would_take_half_a_text_is_none() {
        for piece in ["a<![CDATA[b]]>", "a<!-- -->b", "a<?x?>b"] {
            let answer = format!("<?xml version=\"1.0\"?><!-- kept alive --><R><Key>{piece}</Key></R>");
            let flaw = |operation| flaw(operation, false, answer.as_bytes());
            assert_eq!(flaw("ListObjectsV2"), Some("it holds CDATA or a comment"), "{piece}");
            assert_eq!(flaw("PutObject"), None, "nothing is read of it: {piece}");
        }
    }
}
