//! A block in pevm's own form.

use std::sync::Arc;

use peer_protocol::{Alloc, Block, Fork, Header, Result, Transaction};
use pevm::{BlockHashes, Bytecodes, ChainState, EvmAccount, InMemoryStorage};
use revm::bytecode::Bytecode;
use revm::context::either::Either;
use revm::context::transaction::{AccessList, AccessListItem, Authorization, SignedAuthorization};
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::{TxKind, U256, hardfork::SpecId};

pub struct Prepared {
    pub state: InMemoryStorage,
    pub rules: SpecId,
    pub block: BlockEnv,
    pub transactions: Vec<TxEnv>,
    /// 1: sequential execution.
    pub threads: usize,
}

impl Prepared {
    pub fn new(block: Block) -> Result<Self> {
        let chain_id = block.chain_id;
        if chain_id != 1 {
            return Err(
                format!("pevm executes Ethereum's mainnet, of chain id 1, not {chain_id}").into(),
            );
        }
        if block.threads == 0 {
            return Err("threads: at least 1 is needed".into());
        }
        Ok(Self {
            state: storage(block.alloc, block.block_hashes.into_iter().collect())?,
            rules: rules(block.fork)?,
            block: environment(block.header),
            transactions: block
                .transactions
                .into_iter()
                .map(|tx| transaction(tx, chain_id))
                .collect(),
            threads: block.threads,
        })
    }
}

/// The accounts, and apart from them their code, analysed.
fn storage(alloc: Alloc, block_hashes: BlockHashes) -> Result<InMemoryStorage> {
    let mut accounts = ChainState::default();
    let mut bytecodes = Bytecodes::default();
    for (address, account) in alloc {
        let mut code_hash = None;
        if !account.code.is_empty() {
            let code = Bytecode::new_raw_checked(account.code)
                .map_err(|error| format!("the code of {address} is not valid: {error}"))?;
            let hash = code.hash_slow();
            bytecodes.insert(hash, code.into());
            code_hash = Some(hash);
        }
        let account = EvmAccount {
            balance: account.balance,
            nonce: account.nonce,
            code_hash,
            code: None,
            storage: account.storage.into_iter().collect(),
        };
        accounts.insert(address, account);
    }
    Ok(InMemoryStorage::new(
        accounts,
        Arc::new(bytecodes),
        Arc::new(block_hashes),
    ))
}

fn rules(fork: Fork) -> Result<SpecId> {
    Ok(match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople => {
            return Err("pevm has no rules of Constantinople before Petersburg".into());
        }
        Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    })
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
