//! herd: a herd of small servers that know where moving clients are.

pub mod places;
