//! What a client has read before: asked for again, it is sent only if it has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reqwest::header::{ETAG, HeaderMap};

/// Answers by their addresses. Whoever watches asks for few; more than this are forgotten.
const ANSWERS_MAX: usize = 64;

/// Answers that had an ETag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<String, Answer>>>);

#[derive(Debug, Clone)]
struct Answer {
    tag: String,
    body: Vec<u8>,
}

impl Memory {
    /// The ETag of what was read there.
    pub(crate) fn tag(&self, url: &str) -> Option<String> {
        let answers = self.0.lock().expect("nothing panics while holding it");
        answers.get(url).map(|answer| answer.tag.clone())
    }

    /// What was read there.
    pub(crate) fn body(&self, url: &str) -> Option<Vec<u8>> {
        let answers = self.0.lock().expect("nothing panics while holding it");
        answers.get(url).map(|answer| answer.body.clone())
    }

    /// Keeps an answer, if it has an ETag.
    pub(crate) fn keep(&self, url: &str, headers: &HeaderMap, body: &[u8]) {
        let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else { return };
        let mut answers = self.0.lock().expect("nothing panics while holding it");
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(url.to_owned(), Answer { tag: tag.to_owned(), body: body.to_vec() });
    }
}
