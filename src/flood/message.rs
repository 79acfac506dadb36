//! What is in the flood's channel, in the order in which it goes out.

use crate::link::Mark;
use crate::node::News;

pub enum Message {
    News(News),
    /// All news of this epoch came before it.
    Mark(Mark),
    /// There is news again, which was not sent by the channel.
    Look,
    Stop,
}
