//! Listens to a stream on its way: when a copy fails, whether its source did is told by what was heard.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;

use crate::storage::backend::{ByteStream, StorageError};

/// The error that a stream ended with, if it did.
pub type Heard = Arc<Mutex<Option<StorageError>>>;

/// The same bytes; an error among them is kept, for telling afterwards whose it was.
pub fn overheard(content: ByteStream) -> (ByteStream, Heard) {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    let content = content.inspect(move |chunk| {
        if let Err(error) = chunk {
            *ear.lock().expect("nothing panics while holding it") = Some(error.clone());
        }
    });
    (content.boxed(), heard)
}
