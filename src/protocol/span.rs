//! A stretch of time by which records are chosen: those that their origin servers heard within it. Two servers sum
//! the same stretch when they compare what they know, so that neither counts what is only just coming or going.

use super::line::Fields;

/// From one second since 1970 to before another; without a bound where there is None.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from_s: Option<i64>,
    pub to_s: Option<i64>,
}

impl Span {
    /// Everything.
    pub const ALL: Span = Span { from_s: None, to_s: None };

    /// Whether a moment, in s since 1970, is within.
    pub fn has(&self, second: i64) -> bool {
        self.from_s.is_none_or(|from| from <= second) && self.to_s.is_none_or(|to| second < to)
    }

    /// What is within both.
    pub fn within(self, other: Span) -> Span {
        let to = [self.to_s, other.to_s].into_iter().flatten().min();
        Span { from_s: self.from_s.max(other.from_s), to_s: to }
    }

    pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Span> {
        Some(Span { from_s: bound(fields.next()?)?, to_s: bound(fields.next()?)? })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for bound in [self.from_s, self.to_s] {
            out.push(b' ');
            match bound {
                Some(second) => out.extend_from_slice(second.to_string().as_bytes()),
                None => out.push(b'-'),
            }
        }
    }
}

fn bound(text: &[u8]) -> Option<Option<i64>> {
    if text == b"-" {
        return Some(None);
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_s: impl Into<Option<i64>>, to_s: impl Into<Option<i64>>) -> Span {
        Span { from_s: from_s.into(), to_s: to_s.into() }
    }

    #[test]
    fn it_begins_with_its_first_second_and_ends_before_its_last() {
        assert_eq!([4, 5, 6, 7].map(|at| span(5, 7).has(at)), [false, true, true, false]);
        assert!(Span::ALL.has(i64::MIN) && Span::ALL.has(i64::MAX) && span(5, None).has(i64::MAX));
    }

    #[test]
    fn what_is_within_both_is_the_narrower_at_either_end() {
        assert_eq!(span(5, 9).within(span(3, 7)), span(5, 7));
        assert_eq!(span(5, None).within(span(None, 7)), span(5, 7));
        assert_eq!(Span::ALL.within(span(-3, None)), span(-3, None));
    }

    #[test]
    fn digits_come_back_and_nothing_else_is_read() {
        for it in [Span::ALL, span(5, 7), span(-8, None), span(None, i64::MAX)] {
            let mut out = Vec::new();
            it.write(&mut out);
            assert_eq!(Span::parse(&mut Fields::of(&out)), Some(it));
        }
        for wrong in ["5", "x 5", "5 +7", "5 99999999999999999999", "-- 5", ""] {
            assert_eq!(Span::parse(&mut Fields::of(wrong.as_bytes())), None, "{wrong}");
        }
    }
}
