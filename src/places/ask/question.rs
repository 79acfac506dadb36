//! What a provider is asked, and what comes back.

/// One request; GET without a body, else POST. No `Debug`, because the URL may hold the key.
pub struct Question {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
}

/// What came back, whatever its status code.
pub struct Answer {
    pub code: u16,
    pub body: Vec<u8>,
}
