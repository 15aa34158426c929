//! A place where one lives at a time. In: who comes and who goes. Out: who lives there.
//!
//! Who goes late does not put out who came after: only the one that is meant leaves.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

pub(crate) struct Home<T> {
    live: ArcSwapOption<T>,
}

impl<T> Default for Home<T> {
    fn default() -> Self {
        Self {
            live: ArcSwapOption::empty(),
        }
    }
}

impl<T> Home<T> {
    /// Who lives here.
    pub(crate) fn who(&self) -> Guard<Option<Arc<T>>> {
        self.live.load()
    }

    /// Moves in. Refused while another one lives here.
    pub(crate) fn move_in(&self, who: &Arc<T>) -> bool {
        let nobody = &None::<Arc<T>>;
        let before = self.live.compare_and_swap(nobody, Some(Arc::clone(who)));
        before.is_none()
    }

    /// Moves out, if it still lives here.
    pub(crate) fn move_out(&self, who: &Arc<T>) {
        self.live.compare_and_swap(&Some(Arc::clone(who)), None);
    }
}
