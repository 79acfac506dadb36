//! Which clients somebody may see, or wants to. Doors and the feed ask it.

/// Which clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    All,
    /// The one of this ID.
    One(Vec<u8>),
    /// Those whose ID begins so.
    Prefix(Vec<u8>),
}

impl Clients {
    pub fn has(&self, id: &[u8]) -> bool {
        match self {
            Clients::All => true,
            Clients::One(one) => one == id,
            Clients::Prefix(prefix) => id.starts_with(prefix),
        }
    }

    /// Those who are among these and among others; None where nobody can be.
    pub fn meet(self, others: Clients) -> Option<Clients> {
        match (self, others) {
            (Clients::All, some) | (some, Clients::All) => Some(some),
            (Clients::One(one), some) | (some, Clients::One(one)) => {
                some.has(&one).then_some(Clients::One(one))
            }
            (Clients::Prefix(one), Clients::Prefix(other)) => {
                let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
                long.starts_with(&short).then_some(Clients::Prefix(long))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_both_is_in_what_they_have_in_common() {
        let some = [
            Clients::All,
            Clients::One(b"van-1".to_vec()),
            Clients::One(b"car".to_vec()),
            Clients::Prefix(b"van".to_vec()),
            Clients::Prefix(b"van-".to_vec()),
            Clients::Prefix(b"c".to_vec()),
        ];
        for one in &some {
            for other in &some {
                let both = one.clone().meet(other.clone());
                for id in [&b"van-1"[..], b"van-2", b"van", b"car", b"cab", b""] {
                    let is_in_both = both.as_ref().is_some_and(|both| both.has(id));
                    assert_eq!(is_in_both, one.has(id) && other.has(id), "{one:?} {other:?} {id:?}");
                }
            }
        }
    }
}
