//! revm as a peer: messages, and blocks as reth executes them.

mod block;
mod message;
mod state;

use peer_protocol::{Answer, Engine, Hello, Result, Time, serve};

use block::BlockRun;
use message::MessageRun;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Huge pages: small blocks take up to a third less time than with the allocator's defaults.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8] = b"thp:always,metadata_thp:always\0";

const HELLO: Hello = Hello {
    name: "revm",
    version: env!("CARGO_PKG_VERSION"),
    does: &["message", "block"],
    threads: false,
};

/// The work at hand.
#[derive(Default)]
enum Revm {
    #[default]
    Idle,
    Message(Box<MessageRun>),
    Block(Box<BlockRun>),
}

impl Engine for Revm {
    fn message(&mut self, message: peer_protocol::Message) -> Result<()> {
        *self = Self::Message(Box::new(MessageRun::new(message)?));
        Ok(())
    }

    fn block(&mut self, block: peer_protocol::Block) -> Result<()> {
        *self = Self::Block(Box::new(BlockRun::new(block)?));
        Ok(())
    }

    fn run(&mut self) -> Result<(Answer, Time)> {
        match self {
            Self::Idle => Err("nothing to run".into()),
            Self::Message(message) => message.run(),
            Self::Block(block) => block.run(),
        }
    }
}

fn main() -> std::io::Result<()> {
    serve(HELLO, Revm::default())
}
