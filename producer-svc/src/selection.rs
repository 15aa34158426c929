//! Chooses an item by a purchase's id.
//!
//! In: the id and the odds. Out: a position among the items. The same id and the same odds give the
//! same position in every process, which is what makes a retry buy the same item. It draws no random
//! number of its own.

use purchases::PurchaseId;

#[cfg(test)]
mod tests;

/// How likely each position is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odds(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// This many, all alike.
    Even(usize),
    /// Where each one's share of the seeds begins: from zero, strictly rising.
    Weighted(Box<[u64]>),
}

/// Weights that make no odds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadWeights {
    /// Their sum is not finite.
    TooLarge,
    /// These can hardly be told from zero beside the others.
    TooSmall(Vec<usize>),
}

/// The smallest share of the whole that a weight may have. Below it an item would hardly ever be
/// chosen, and far below it never.
const LEAST_SHARE: f64 = 1e-9;

impl Odds {
    /// `count` positions, all alike. At least one: a catalog is never empty.
    pub fn even(count: usize) -> Self {
        Self(Kind::Even(count))
    }

    /// One position a weight. They are more than zero and finite, and there is at least one.
    ///
    /// # Errors
    ///
    /// [`BadWeights`].
    pub fn weighted(weights: &[f64]) -> Result<Self, BadWeights> {
        let total: f64 = weights.iter().sum();
        if !total.is_finite() {
            return Err(BadWeights::TooLarge);
        }
        let too_small: Vec<usize> = (0..weights.len())
            .filter(|&at| weights[at] / total < LEAST_SHARE)
            .collect();
        if !too_small.is_empty() {
            return Err(BadWeights::TooSmall(too_small));
        }
        let mut starts = Vec::with_capacity(weights.len());
        let mut sum = 0.0;
        for weight in weights {
            // Every share is some 2^34 seeds wide, far beyond what rounding takes from it.
            starts.push((sum / total * 2_f64.powi(64)) as u64);
            sum += weight;
        }
        Ok(Self(Kind::Weighted(starts.into())))
    }

    /// The position for this id.
    ///
    /// The seed is spread over 64 bits; taking the high half of its product with the count favours no
    /// position by more than one part in 2^64 / count.
    pub fn position(&self, id: PurchaseId) -> usize {
        match &self.0 {
            Kind::Even(count) => ((u128::from(id.seed()) * *count as u128) >> 64) as usize,
            Kind::Weighted(starts) => {
                // The first one starts at zero, so that the result is at least one.
                starts.partition_point(|&start| start <= id.seed()) - 1
            }
        }
    }
}
