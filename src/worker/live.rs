//! What a reload replaces while workers go on: who uses it keeps its own copy, and looks whether there is another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that is read often and replaced seldom.
pub struct Live<T> {
    value: Mutex<Arc<T>>,
    /// How often it was replaced.
    edition: AtomicU64,
}

/// Somebody's copy of it.
pub struct Copy<T> {
    value: Arc<T>,
    edition: u64,
}

impl<T> Live<T> {
    pub fn new(value: T) -> Live<T> {
        Live { value: Mutex::new(Arc::new(value)), edition: AtomicU64::new(0) }
    }

    pub fn get(&self) -> Arc<T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what there was; some use it a little longer.
    pub fn replace(&self, value: T) -> Arc<T> {
        let before = std::mem::replace(
            &mut *self.value.lock().unwrap_or_else(PoisonError::into_inner),
            Arc::new(value),
        );
        self.edition.fetch_add(1, Ordering::SeqCst);
        before
    }

    /// Its last owner takes it.
    pub fn get_last(self) -> Arc<T> {
        self.value.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn copy(&self) -> Copy<T> {
        // Before the value: one that is replaced in between is looked for once more.
        let edition = self.edition.load(Ordering::SeqCst);
        Copy { value: self.get(), edition }
    }

    /// Brings a copy up to date; says whether it was not.
    pub fn refresh(&self, copy: &mut Copy<T>) -> bool {
        let is_old = self.edition.load(Ordering::SeqCst) != copy.edition;
        if is_old {
            *copy = self.copy();
        }
        is_old
    }
}

impl<T> Copy<T> {
    pub fn get(&self) -> &T {
        &self.value
    }
}
