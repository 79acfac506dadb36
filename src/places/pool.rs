//! stub
use super::*;
use std::io;
use std::sync::Arc;
use std::time::Duration;
pub struct Pool;
impl Pool {
    pub fn start(
        _places: Arc<dyn Places>,
        _threads: usize,
        _queue: usize,
        _total: Duration,
    ) -> io::Result<Pool> {
        Ok(Pool)
    }
    pub fn submit(&self, _lookup: Lookup, done: impl FnOnce(Arc<[u8]>) + Send + 'static) {
        done(Arc::from(&b"{}"[..]))
    }
}
