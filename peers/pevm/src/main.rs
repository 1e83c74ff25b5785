//! RISE pevm as a peer: blocks, sequentially and on several threads.

mod block;

use std::num::NonZeroUsize;

use peer_protocol::{Answer, Block, Engine, Hello, Result, Time, serve, timed};
use pevm::chain::PevmEthereum;
use pevm::{Pevm, PevmResult, execute_revm_sequential};

use block::Prepared;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator's settings in pevm's bench: huge pages.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8] = b"thp:always,metadata_thp:always\0";

const HELLO: Hello = Hello {
    name: "pevm",
    version: env!("CARGO_PKG_VERSION"),
    does: &["block"],
    threads: true,
};

/// The executor is kept from block to block, as in pevm's bench.
#[derive(Default)]
struct Peer {
    executor: Pevm,
    work: Option<Prepared>,
}

impl Engine for Peer {
    fn block(&mut self, block: Block) -> Result<()> {
        self.work = Some(Prepared::new(block)?);
        Ok(())
    }

    fn run(&mut self) -> Result<(Answer, Time)> {
        let work = self.work.as_ref().ok_or("no block to run")?;
        let chain = PevmEthereum::mainnet();
        let (block, transactions) = (work.block.clone(), work.transactions.clone());
        let (state, rules) = (&work.state, work.rules);
        let (results, time): (PevmResult<_>, _) = match NonZeroUsize::new(work.threads) {
            Some(threads) if threads.get() > 1 => timed(|| {
                self.executor.execute_revm_parallel(
                    &chain,
                    state,
                    rules,
                    block,
                    transactions,
                    threads,
                )
            }),
            _ => timed(|| execute_revm_sequential(&chain, state, rules, block, transactions)),
        };
        let results = results.map_err(|error| format!("{error}: {error:?}"))?;
        let mut before = 0;
        let gas_used = results.iter().map(|result| {
            let cumulative = result.receipt.cumulative_gas_used;
            let gas_used = cumulative - before;
            before = cumulative;
            gas_used
        });
        Ok((Answer::block(gas_used), time))
    }
}

fn main() -> std::io::Result<()> {
    serve(HELLO, Peer::default())
}
