//! Medians, quartiles and ratios of paired rounds: the figures that the report quotes.

use serde::{Deserialize, Serialize};

/// A figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub min: f64,
    pub lower_quartile: f64,
    pub median: f64,
    pub upper_quartile: f64,
    pub max: f64,
    pub rounds: usize,
}

impl Spread {
    /// Of the finite values among these, or nothing if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<_> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Spread {
            min,
            lower_quartile: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper_quartile: quantile(&sorted, 0.75),
            max,
            rounds: sorted.len(),
        })
    }

    /// Of the ratios of one server's rounds to another's, each to the one measured beside it.
    pub fn of_ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Spread> {
        let pairs = ours.iter().zip(theirs).filter_map(|(our, their)| Some((*our)? / (*their)?));
        Spread::of(pairs)
    }
}

/// The value below which this share of ascending values lies, between two by a straight line
/// (the same as R's type 7 and numpy's default).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_the_usual_definition() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0, f64::NAN]).expect("values");
        assert_eq!((spread.min, spread.max, spread.rounds), (1.0, 4.0, 4));
        assert_eq!((spread.lower_quartile, spread.median, spread.upper_quartile), (1.75, 2.5, 3.25));
        assert_eq!(Spread::of([7.0]).expect("a value").upper_quartile, 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_ratio_pairs_the_rounds_and_leaves_out_those_that_lack_one() {
        let ours = [Some(2.0), Some(9.0), None, Some(6.0)];
        let theirs = [Some(1.0), None, Some(1.0), Some(4.0)];
        let ratio = Spread::of_ratios(&ours, &theirs).expect("pairs");
        assert_eq!((ratio.min, ratio.max, ratio.rounds), (1.5, 2.0, 2));
        assert_eq!(Spread::of_ratios(&[Some(1.0)], &[Some(0.0)]), None);
    }
}
