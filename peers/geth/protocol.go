package main

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/holiman/uint256"
)

// The forms of requests and answers. Numbers are hexadecimal text; uint256.Int and those of hexutil read it.

type hello struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Does    []string `json:"does"`
	Threads bool     `json:"threads"`
}

type failure struct {
	Error string `json:"error"`
}

type times struct {
	Wall []int64 `json:"wall_ns"`
	CPU  []int64 `json:"cpu_ns"`
}

type account struct {
	Nonce   hexutil.Uint64
	Balance uint256.Int
	Code    hexutil.Bytes
	Storage map[uint256.Int]uint256.Int
}

type alloc map[common.Address]account

type messageRequest struct {
	Fork   string
	Alloc  alloc
	Sender common.Address
	To     common.Address
	Data   hexutil.Bytes
	Gas    hexutil.Uint64
}

type messageAnswer struct {
	Success bool           `json:"success"`
	Output  hexutil.Bytes  `json:"output"`
	GasUsed hexutil.Uint64 `json:"gas_used"`
}

type blockRequest struct {
	Fork         string
	ChainID      hexutil.Big `json:"chain_id"`
	Alloc        alloc
	BlockHashes  map[hexutil.Uint64]common.Hash `json:"block_hashes"`
	Header       header
	Transactions []transaction
	Threads      int
}

type header struct {
	Number      hexutil.Uint64
	Timestamp   hexutil.Uint64
	Coinbase    common.Address
	GasLimit    hexutil.Uint64 `json:"gas_limit"`
	Difficulty  hexutil.Big
	PrevRandao  common.Hash  `json:"prev_randao"`
	BaseFee     *hexutil.Big `json:"base_fee_per_gas"`
	BlobBaseFee *hexutil.Big `json:"blob_base_fee"`
}

type transaction struct {
	Type           int
	Sender         common.Address
	Nonce          hexutil.Uint64
	GasLimit       hexutil.Uint64 `json:"gas_limit"`
	To             *common.Address
	Value          uint256.Int
	Data           hexutil.Bytes
	GasPrice       *uint256.Int       `json:"gas_price"`
	MaxFee         *uint256.Int       `json:"max_fee_per_gas"`
	MaxPriorityFee *uint256.Int       `json:"max_priority_fee_per_gas"`
	AccessList     []accessListEntry  `json:"access_list"`
	MaxBlobFee     *uint256.Int       `json:"max_fee_per_blob_gas"`
	BlobHashes     []common.Hash      `json:"blob_versioned_hashes"`
	Authorizations []authorizationRow `json:"authorization_list"`
}

type accessListEntry struct {
	Address     common.Address
	StorageKeys []common.Hash `json:"storage_keys"`
}

type authorizationRow struct {
	ChainID uint256.Int `json:"chain_id"`
	Address common.Address
	Nonce   hexutil.Uint64
	YParity hexutil.Uint64 `json:"y_parity"`
	R       uint256.Int
	S       uint256.Int
}

type blockAnswer struct {
	GasUsed []hexutil.Uint64 `json:"gas_used"`
}
