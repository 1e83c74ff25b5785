//! Requests, as `peers/README.md` has them.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::{Deserialize, Deserializer, Error};

#[derive(Debug, serde::Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Request {
    Message(Message),
    Block(Block),
    Run { times: usize },
}

/// A message call without a transaction around it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Message {
    pub fork: Fork,
    pub alloc: Alloc,
    pub sender: Address,
    pub to: Address,
    pub data: Bytes,
    #[serde(deserialize_with = "number")]
    pub gas: u64,
}

/// The transactions of a block.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Block {
    pub fork: Fork,
    #[serde(deserialize_with = "number")]
    pub chain_id: u64,
    pub alloc: Alloc,
    #[serde(deserialize_with = "numbered")]
    pub block_hashes: HashMap<u64, B256>,
    pub header: Header,
    pub transactions: Vec<Transaction>,
    /// 1 means the engine's own sequential execution.
    pub threads: usize,
}

/// The forks whose rules differ, by their names in execution-specs; those that only put off the difficulty bomb go by
/// the rules they keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum Fork {
    Frontier,
    Homestead,
    TangerineWhistle,
    SpuriousDragon,
    Byzantium,
    Constantinople,
    #[serde(alias = "ConstantinopleFix")]
    Petersburg,
    #[serde(alias = "MuirGlacier")]
    Istanbul,
    Berlin,
    #[serde(alias = "ArrowGlacier", alias = "GrayGlacier")]
    London,
    Paris,
    Shanghai,
    Cancun,
    Prague,
    Osaka,
}

pub type Alloc = HashMap<Address, Account>;

#[derive(Clone, Debug, serde::Deserialize)]
pub struct Account {
    #[serde(deserialize_with = "number")]
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub storage: HashMap<U256, U256>,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub struct Header {
    #[serde(deserialize_with = "number")]
    pub number: u64,
    #[serde(deserialize_with = "number")]
    pub timestamp: u64,
    pub coinbase: Address,
    #[serde(deserialize_with = "number")]
    pub gas_limit: u64,
    pub difficulty: U256,
    pub prev_randao: B256,
    #[serde(deserialize_with = "number_or_null")]
    pub base_fee_per_gas: Option<u64>,
    #[serde(deserialize_with = "number_or_null")]
    pub excess_blob_gas: Option<u64>,
    /// What follows from the excess by the chain's own schedule.
    #[serde(deserialize_with = "number_or_null")]
    pub blob_base_fee: Option<u128>,
}

/// Fields that its type does not have are `None`.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Transaction {
    #[serde(rename = "type")]
    pub kind: u8,
    pub sender: Address,
    #[serde(deserialize_with = "number")]
    pub nonce: u64,
    #[serde(deserialize_with = "number")]
    pub gas_limit: u64,
    /// `None`: a creation.
    pub to: Option<Address>,
    pub value: U256,
    pub data: Bytes,
    #[serde(deserialize_with = "number_or_null")]
    pub gas_price: Option<u128>,
    #[serde(deserialize_with = "number_or_null")]
    pub max_fee_per_gas: Option<u128>,
    #[serde(deserialize_with = "number_or_null")]
    pub max_priority_fee_per_gas: Option<u128>,
    pub access_list: Option<Vec<AccessListItem>>,
    #[serde(deserialize_with = "number_or_null")]
    pub max_fee_per_blob_gas: Option<u128>,
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub authorization_list: Option<Vec<Authorization>>,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub struct AccessListItem {
    pub address: Address,
    pub storage_keys: Vec<B256>,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub struct Authorization {
    pub chain_id: U256,
    pub address: Address,
    #[serde(deserialize_with = "number")]
    pub nonce: u64,
    #[serde(deserialize_with = "number")]
    pub y_parity: u8,
    pub r: U256,
    pub s: U256,
}

/// A hexadecimal number that has to fit `T`.
fn number<'de, D: Deserializer<'de>, T: TryFrom<U256>>(deserializer: D) -> Result<T, D::Error> {
    narrow(U256::deserialize(deserializer)?)
}

fn number_or_null<'de, D: Deserializer<'de>, T: TryFrom<U256>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<U256>::deserialize(deserializer)?
        .map(narrow)
        .transpose()
}

fn numbered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<u64, B256>, D::Error> {
    let hashes = HashMap::<U256, B256>::deserialize(deserializer)?;
    hashes
        .into_iter()
        .map(|(number, hash)| Ok((narrow(number)?, hash)))
        .collect()
}

fn narrow<T: TryFrom<U256>, E: Error>(number: U256) -> Result<T, E> {
    T::try_from(number).map_err(|_| {
        E::custom(format_args!(
            "{number:#x} does not fit {} bits",
            8 * size_of::<T>()
        ))
    })
}
