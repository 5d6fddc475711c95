//! Markup that no text can break out of: the only way from a text to the page.

use std::fmt::{self, Display, Write};

/// Markup that is being written. Markup itself stands in the program (`'static`); all else goes in as text.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, for the content of an element or the value of an attribute in quotes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // a `String` takes everything
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// A text between two pieces of markup.
    pub(super) fn put(&mut self, before: &'static str, text: impl Display, after: &'static str) -> &mut Self {
        self.raw(before).text(text).raw(after)
    }

    /// A name: letters that run from right to left move nothing beside it.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.put("<bdi>", name, "</bdi>")
    }

    /// What was written.
    pub(super) fn done(self) -> String {
        self.0
    }
}

/// Writes what HTML would take for markup as character references, and what nobody sees as escapes that are seen.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if is_unseen(c) => write!(self.0, "{}", c.escape_default())?,
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// Control characters; those that turn the direction of what follows, hide in a name, or break its line (Unicode Standard
/// Annex 9; the category `Cf`, but for the joiners that some scripts and emoji are written with).
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.done()
    }

    /// What a browser makes of it.
    fn read(html: &str) -> String {
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
            .iter()
            .fold(html.to_owned(), |text, (reference, c)| text.replace(reference, c))
    }

    #[test]
    fn no_text_becomes_markup() {
        for (text, want) in [
            ("a.txt", "a.txt"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("<img src=x onerror='x()'>", "&lt;img src=x onerror=&#39;x()&#39;&gt;"),
            ("\" onload=\"x()", "&quot; onload=&quot;x()"),
            ("&lt;b&amp;", "&amp;lt;b&amp;amp;"),
            ("a\n\r\t\0\u{7f}\u{9b}", "a\\n\\r\\t\\u{0}\\u{7f}\\u{9b}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("\u{2066}\u{200b}\u{feff}\u{2028}", "\\u{2066}\\u{200b}\\u{feff}\\u{2028}"),
            (
                "é 日本 \u{1f468}\u{200d}\u{1f469} می\u{200c}خواهم",
                "é 日本 \u{1f468}\u{200d}\u{1f469} می\u{200c}خواهم",
            ),
        ] {
            assert_eq!(told(text), want, "{text:?}");
        }
        let mut html = Html::default();
        html.put("<b title=\"", "\"<", "\">").name("\u{202e}</bdi>").raw("</b>");
        assert_eq!(html.done(), "<b title=\"&quot;&lt;\"><bdi>\\u{202e}&lt;/bdi&gt;</bdi></b>");
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_stays_text_and_is_seen(text: String) {
            let html = told(&text);
            prop_assert!(!html.contains(['<', '>', '"', '\'']) && !html.contains(is_unseen), "{html:?}");
            for rest in html.split('&').skip(1) {
                prop_assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|r| rest.starts_with(r)), "{html:?}");
            }
            if !text.contains(is_unseen) {
                prop_assert_eq!(read(&html), text);
            }
        }
    }
}
