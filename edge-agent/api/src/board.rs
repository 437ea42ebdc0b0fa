//! What all readers share: the masked view and the page's fragments, made once for each new picture and
//! not once for each reader.

use crate::page::{self, Fragment};
use crate::{House, HouseView};
use engawa_words::Language;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// The masked view and its fragments, in the order of the page.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) view: Arc<HouseView>,
    /// One place for each language; drawn for the first who reads it.
    fragments: [OnceLock<Vec<Fragment>>; Language::ALL.len()],
}

impl Drawn {
    /// The fragments in `language`.
    pub(crate) fn fragments(&self, language: Language) -> &[Fragment] {
        let place = Language::ALL.iter().position(|known| *known == language);
        let place = place.and_then(|place| self.fragments.get(place));
        place.map_or(&[], |drawn| drawn.get_or_init(|| page::fragments(&self.view, language)))
    }
}

/// Draws the house when it has changed.
pub(crate) struct Board {
    house: Arc<dyn House>,
    changed: watch::Receiver<u64>,
    // Holds one picture: the last. A blocking lock: drawing takes a few milliseconds and never waits.
    last: Mutex<Option<(u64, Arc<Drawn>)>>,
}

impl Board {
    pub(crate) fn new(house: Arc<dyn House>) -> Self {
        let changed = house.changed();
        Self { house, changed, last: Mutex::new(None) }
    }

    pub(crate) fn house(&self) -> &Arc<dyn House> {
        &self.house
    }

    /// A receiver that has not seen the picture of this moment yet.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.house.changed()
    }

    /// The picture as it is now.
    pub(crate) fn now(&self) -> Arc<Drawn> {
        // The number is read before the view: the view is then as new as the number or newer, and a newer
        // one is drawn again with its own number.
        let revision = *self.changed.borrow();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((drawn_at, drawn)) = &*last
            && *drawn_at == revision
        {
            return Arc::clone(drawn);
        }
        let view = Arc::new(self.house.view().without_personal_data());
        let drawn = Arc::new(Drawn { view, fragments: Default::default() });
        *last = Some((revision, Arc::clone(&drawn)));
        drawn
    }
}
