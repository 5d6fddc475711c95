//! The file as it is written: TOML tables whose keys and values know where they stand.
//!
//! Reading never stops at a problem: it notes it and goes on, so that all are told at once.

use super::{
    problem::{Complaint, Problem},
    schema::Shape,
};
use std::path::Path;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value and the byte where it begins; `None` if it was not read from a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<T> {
    pub(super) at: Option<usize>,
    pub(super) value: T,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Its mode.
    pub(super) mode: u32,
    /// It is root's.
    pub(super) of_root: bool,
}

impl Access {
    /// True if nobody reads it who was not meant to: its owner alone, or a group that root chose, as packages of services have it.
    pub(super) const fn is_private(self) -> bool {
        let others = if self.of_root { 0o037 } else { 0o077 };
        self.mode & others == 0
    }
}

/// What is wrong so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// The file, for remedies that name it.
    pub(super) path: &'t Path,
    /// Who may read it, where that is known.
    pub(super) access: Option<Access>,
    noted: Vec<(Option<usize>, Complaint)>,
    /// The text is not all TOML: what looks missing may stand in a part that could not be read.
    broken: bool,
}

/// One table being read.
pub(super) struct Table<'t> {
    pub(super) shape: &'static Shape,
    /// Its header, or what stands for it.
    pub(super) at: Option<usize>,
    entries: &'t DeTable<'t>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str, path: &'t Path, access: Option<Access>) -> Self {
        Self { text, path, access, noted: Vec::new(), broken: false }
    }

    /// Parses; every syntax error is noted, and what could be read in spite of them is given back.
    pub(super) fn parse(&mut self) -> Spanned<DeTable<'t>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        self.broken = !errors.is_empty();
        for error in errors {
            let remedy = "see https://toml.io; text, times and paths stand in quotes: rescan = \"1h\"";
            let at = error.span().map_or(self.text.len(), |span| span.start);
            self.complain(Some(at), Complaint::new(format!("not TOML: {}", error.message()), remedy));
        }
        table
    }

    pub(super) fn complain(&mut self, at: Option<usize>, complaint: Complaint) {
        self.noted.push((at, complaint));
    }

    /// Notes that something is not there, unless it may stand where the text could not be read.
    pub(super) fn missing(&mut self, at: Option<usize>, complaint: Complaint) {
        if !self.broken {
            self.complain(at, complaint);
        }
    }

    /// Takes a checked value, or notes what is wrong with it.
    pub(super) fn check<T>(&mut self, at: Option<usize>, checked: Result<T, Complaint>) -> Option<T> {
        checked.map_err(|complaint| self.complain(at, complaint)).ok()
    }

    /// All that was noted, in the order of the file. A line that is not TOML has no other problems.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut noted = self.noted;
        noted.sort_by_key(|(at, _)| *at);
        let text = self.text;
        let mut list: Vec<_> = noted.into_iter().map(|(at, c)| c.at(at.map(|at| (text, at)))).collect();
        let unread: Vec<_> =
            list.iter().filter(|p| p.message.starts_with("not TOML")).map(|p| p.line).collect();
        list.retain(|p| p.message.starts_with("not TOML") || !unread.contains(&p.line));
        list.dedup();
        list
    }
}

impl<'t> Table<'t> {
    /// Begins to read a table: keys it may not have are noted.
    pub(super) fn open(
        shape: &'static Shape,
        at: Option<usize>,
        entries: &'t DeTable<'t>,
        reader: &mut Reader<'_>,
    ) -> Self {
        for name in entries.keys() {
            if let Some(complaint) = shape.refuse(name.get_ref()) {
                reader.complain(Some(name.span().start), complaint);
            }
        }
        Self { shape, at, entries }
    }

    /// True if it has no key but this one.
    pub(super) fn is_bare(&self, key: &str) -> bool {
        self.entries.keys().all(|name| name.get_ref() == key)
    }

    /// Any value.
    pub(super) fn get(&self, key: &str) -> Option<Given<&'t DeValue<'t>>> {
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Given { at: Some(value.span().start), value: value.get_ref() })
    }

    /// A text.
    pub(super) fn text(&self, key: &str, reader: &mut Reader<'_>) -> Option<Given<&'t str>> {
        self.typed(key, "a text in quotes", DeValue::as_str, reader)
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &str, reader: &mut Reader<'_>) -> Option<bool> {
        Some(self.typed(key, "true or false", DeValue::as_bool, reader)?.value)
    }

    /// A whole number of `range`.
    pub(super) fn number(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        reader: &mut Reader<'_>,
    ) -> Option<u64> {
        let given = self.typed(key, "a whole number", DeValue::as_integer, reader)?;
        let digits = given.value.as_str().replace('_', "");
        let number = u64::from_str_radix(digits.trim_start_matches('+'), given.value.radix());
        if let Some(number) = number.ok().filter(|number| range.contains(number)) {
            return Some(number);
        }
        let wanted = match (range.start(), range.end()) {
            (least, &u64::MAX) => format!("write {least} or more"),
            (least, most) => format!("write a number from {least} to {most}"),
        };
        reader
            .complain(given.at, Complaint::new(format!("`{key} = {}` is out of range", given.value), wanted));
        None
    }

    /// An amount of money, with or without a fraction.
    pub(super) fn amount(&self, key: &str, reader: &mut Reader<'_>) -> Option<f64> {
        /// More than any store asks for: what is above it is a slip.
        const MOST: f64 = 1e6;
        let digits = |value: &'t DeValue<'t>| match value {
            DeValue::Float(float) => Some(float.as_str()),
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
            _ => None,
        };
        let given = self.typed(key, "an amount", digits, reader)?;
        let amount = given.value.replace('_', "").parse::<f64>();
        // what is no number is in no range either
        if let Some(amount) = amount.ok().filter(|amount| (0.0..=MOST).contains(amount)) {
            return Some(amount.abs());
        }
        let remedy = format!("write an amount from 0 to {MOST}: {}", self.shape.example(key));
        reader.complain(given.at, Complaint::new(format!("`{key} = {}` is no price", given.value), remedy));
        None
    }

    /// A list of texts, each with its place.
    pub(super) fn texts(&self, key: &str, reader: &mut Reader<'_>) -> Option<Vec<Given<&'t str>>> {
        let list = self.typed(key, "a list of texts", DeValue::as_array, reader)?.value;
        let mut texts = Vec::with_capacity(list.len());
        for item in list.iter() {
            let at = Some(item.span().start);
            match item.get_ref().as_str() {
                Some(value) => texts.push(Given { at, value }),
                None => reader.complain(at, self.mistyped(key, "a list of texts", item.get_ref())),
            }
        }
        Some(texts)
    }

    /// A table of texts by names that are free to choose, each with its place.
    pub(super) fn pairs(
        &self,
        key: &str,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<(Given<&'t str>, Given<&'t str>)>> {
        let table = self.typed(key, "a table of texts", DeValue::as_table, reader)?.value;
        let mut pairs = Vec::with_capacity(table.len());
        for (name, value) in table.iter() {
            let at = Some(value.span().start);
            match value.get_ref().as_str() {
                Some(text) => {
                    let name = Given { at: Some(name.span().start), value: name.get_ref().as_ref() };
                    pairs.push((name, Given { at, value: text }));
                }
                None => reader.complain(at, self.mistyped(key, "a table of texts", value.get_ref())),
            }
        }
        Some(pairs)
    }

    /// A table.
    pub(super) fn table(
        &self,
        key: &str,
        shape: &'static Shape,
        reader: &mut Reader<'_>,
    ) -> Option<Table<'t>> {
        let given = self.typed(key, "a table", DeValue::as_table, reader)?;
        Some(Table::open(shape, given.at, given.value, reader))
    }

    /// A list of tables.
    pub(super) fn tables(
        &self,
        key: &str,
        shape: &'static Shape,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<Table<'t>>> {
        let list = self.typed(key, "a list of tables", DeValue::as_array, reader)?.value;
        let mut tables = Vec::with_capacity(list.len());
        for item in list.iter() {
            let at = Some(item.span().start);
            match item.get_ref().as_table() {
                Some(entries) => tables.push(Table::open(shape, at, entries, reader)),
                None => reader.complain(at, self.mistyped(key, "a list of tables", item.get_ref())),
            }
        }
        Some(tables)
    }

    /// What must be there and is not.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>, reader: &mut Reader<'_>) -> Option<T> {
        if value.is_none() && self.get(key).is_none() {
            let message = format!("{} has no `{key}`", self.shape.place());
            reader.missing(self.at, Complaint::new(message, format!("write {}", self.shape.example(key))));
        }
        value
    }

    /// A value that is none of the kinds it may be.
    pub(super) fn mistyped(&self, key: &str, wanted: &str, found: &DeValue<'_>) -> Complaint {
        let message = format!("`{key}` must be {wanted}, not {}", kind(found));
        Complaint::new(message, format!("write {}", self.shape.example(key)))
    }

    fn typed<V>(
        &self,
        key: &str,
        wanted: &str,
        take: impl FnOnce(&'t DeValue<'t>) -> Option<V>,
        reader: &mut Reader<'_>,
    ) -> Option<Given<V>> {
        let given = self.get(key)?;
        let taken = take(given.value);
        if taken.is_none() {
            reader.complain(given.at, self.mistyped(key, wanted, given.value));
        }
        Some(Given { at: given.at, value: taken? })
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
