//! A block, as reth executes it: one EVM for all its transactions, their changes gathered in a bundle.

use peer_protocol::{Answer, Block, Header, Result, Time, Transaction, timed};
use revm::context::either::Either;
use revm::context::transaction::{AccessList, AccessListItem, Authorization, SignedAuthorization};
use revm::context::{BlockEnv, CfgEnv, ContextTr, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::states::bundle_state::BundleRetention;
use revm::database::{InMemoryDB, State};
use revm::primitives::{Log, TxKind, U256};
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext};

use crate::state;

pub struct BlockRun {
    database: InMemoryDB,
    rules: CfgEnv,
    block: BlockEnv,
    transactions: Vec<TxEnv>,
}

/// What a receipt holds, its bloom apart.
#[expect(
    dead_code,
    reason = "made as a node makes it; the answer has the gas alone"
)]
struct Receipt {
    success: bool,
    cumulative_gas_used: u64,
    logs: Vec<Log>,
}

impl BlockRun {
    pub fn new(block: Block) -> Result<Self> {
        if block.threads != 1 {
            return Err("revm executes blocks on one thread alone".into());
        }
        let mut database = state::database(block.alloc)?;
        for (number, hash) in block.block_hashes {
            database.cache.block_hashes.insert(U256::from(number), hash);
        }
        let chain_id = block.chain_id;
        Ok(Self {
            database,
            rules: CfgEnv::new_with_spec(state::rules(block.fork)?).with_chain_id(chain_id),
            block: environment(block.header),
            transactions: block
                .transactions
                .into_iter()
                .map(|tx| transaction(tx, chain_id))
                .collect(),
        })
    }

    pub fn run(&mut self) -> Result<(Answer, Time)> {
        let state = State::builder()
            .with_database_ref(&self.database)
            .with_bundle_update()
            .build();
        let mut evm = Context::mainnet()
            .with_db(state)
            .with_block(self.block.clone())
            .with_cfg(self.rules.clone())
            .build_mainnet();
        let transactions = self.transactions.clone();

        let (result, time) = timed(|| -> Result<_> {
            let mut receipts = Vec::with_capacity(transactions.len());
            let mut cumulative_gas_used = 0;
            for transaction in transactions {
                let result = evm.transact_commit(transaction)?;
                cumulative_gas_used += result.tx_gas_used();
                receipts.push(Receipt {
                    success: result.is_success(),
                    cumulative_gas_used,
                    logs: result.into_logs(),
                });
            }
            let state = evm.ctx.db_mut();
            state.merge_transitions(BundleRetention::Reverts);
            Ok((receipts, state.take_bundle()))
        });
        let (receipts, _bundle) = result?;
        let mut before = 0;
        let gas_used = receipts.iter().map(|receipt| {
            let gas_used = receipt.cumulative_gas_used - before;
            before = receipt.cumulative_gas_used;
            gas_used
        });
        Ok((Answer::block(gas_used), time))
    }
}

fn environment(header: Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.coinbase,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prevrandao: Some(header.prev_randao),
        blob_excess_gas_and_price: header.excess_blob_gas.zip(header.blob_base_fee).map(
            |(excess_blob_gas, blob_gasprice)| BlobExcessGasAndPrice {
                excess_blob_gas,
                blob_gasprice,
            },
        ),
        slot_num: 0,
    }
}

/// Authorities are recovered here, as senders are: so does reth, whose blocks are run with both known.
fn transaction(transaction: Transaction, chain_id: u64) -> TxEnv {
    let access_list = transaction.access_list.unwrap_or_default().into_iter();
    let authorization_list = transaction
        .authorization_list
        .unwrap_or_default()
        .into_iter();
    TxEnv {
        tx_type: transaction.kind,
        caller: transaction.sender,
        gas_limit: transaction.gas_limit,
        gas_price: transaction
            .max_fee_per_gas
            .or(transaction.gas_price)
            .unwrap_or_default(),
        kind: transaction.to.map_or(TxKind::Create, TxKind::Call),
        value: transaction.value,
        data: transaction.data,
        nonce: transaction.nonce,
        chain_id: Some(chain_id),
        access_list: AccessList(
            access_list
                .map(|item| AccessListItem {
                    address: item.address,
                    storage_keys: item.storage_keys,
                })
                .collect(),
        ),
        gas_priority_fee: transaction.max_priority_fee_per_gas,
        blob_hashes: transaction.blob_versioned_hashes.unwrap_or_default(),
        max_fee_per_blob_gas: transaction.max_fee_per_blob_gas.unwrap_or_default(),
        authorization_list: authorization_list
            .map(|signed| {
                let authorization = Authorization {
                    chain_id: signed.chain_id,
                    address: signed.address,
                    nonce: signed.nonce,
                };
                let signed = SignedAuthorization::new_unchecked(
                    authorization,
                    signed.y_parity,
                    signed.r,
                    signed.s,
                );
                Either::Right(signed.into_recovered())
            })
            .collect(),
    }
}
