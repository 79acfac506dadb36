//! The backbone: an engine, Redis or Valkey, in which servers that do not reach one another keep what they know of clients,
//! so that they are one herd. The engine has the herd in parts, by the clients' IDs. Nothing in herd speaks to an engine
//! yet: here is how a part is kept there, and the script by which records get into it.

pub mod merge;
