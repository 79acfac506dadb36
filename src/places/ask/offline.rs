//! What stands in for `http` in a build without the feature `online`: nobody is asked, as nothing can be opened.

use std::convert::Infallible;
use std::time::Instant;

use super::failure::{Failed, Wording};
use super::key::Key;
use super::question::{Answer, Question};
use crate::places::{PlacesError, Settings};

/// There is none.
pub struct Http {
    pub wording: Wording,
    never: Infallible,
}

impl Http {
    /// Whoever opens a provider has said so already, and what to do.
    pub fn open(name: &str, _: &str, _: Option<Key>, _: &Settings) -> Result<Http, String> {
        Err(format!("places.provider: {name} was left out of this build"))
    }

    pub fn url(&self) -> &str {
        match self.never {}
    }

    pub fn ask<T>(
        &self,
        _: &Question,
        _: Instant,
        _: impl Fn(Answer) -> Result<T, Failed>,
    ) -> Result<T, PlacesError> {
        match self.never {}
    }

    pub fn key_text(&self) -> &str {
        match self.never {}
    }

    pub fn scrubbed(&self, _: Vec<u8>) -> Vec<u8> {
        match self.never {}
    }

    pub fn shutdown(&self) {
        match self.never {}
    }
}
