//! Whether to go on replacing clients. In: how long each lasted. Out: yes, or why not.
//!
//! Each replacement costs the whole group a rebalance, so it does not go on unnoticed: too many of them in a row are a
//! membership that fails, which is counted, told of and tried again further and further apart.

use std::time::Duration;

/// Who lasted for so long was of use.
const SERVED: Duration = Duration::from_secs(60);
/// So many in a row may be of none.
const MOST: u32 = 3;

/// Clients in a row that held a partition and did not read it.
#[derive(Default)]
pub(super) struct InVain(u32);

impl InVain {
    /// One more, which lasted so long.
    ///
    /// # Errors
    /// That it was one too many.
    pub(super) fn again(&mut self, lasted: Duration) -> Result<(), String> {
        if lasted > SERVED {
            self.0 = 0;
        }
        self.0 += 1;
        match self.0 {
            0..=MOST => Ok(()),
            clients => Err(format!(
                "{clients} Kafka clients in a row held a partition and did not read it"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_client_in_a_row_that_reads_nothing_is_a_failure_and_one_that_served_begins_anew()
    {
        let mut in_vain = InVain::default();
        let (short, long) = (Duration::from_secs(6), Duration::from_secs(61));
        for lasted in [short, short, short, long, short, short] {
            assert_eq!(in_vain.again(lasted), Ok(()));
        }
        let told = in_vain.again(short).unwrap_err();
        assert!(told.starts_with("4 Kafka clients in a row"), "{told}");
    }
}
