package main

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// jumpDests is kept for all blocks, as core.BlockChain keeps one.
var jumpDests = core.NewJumpDestCache()

// block is the transactions of one block, run as core.StateProcessor does it.
//
// What is left out: system calls, and what its pipeline does on another thread while transactions go on (blooms and the root of
// the receipts). There is no cache of what precompiles gave, which would know the answers from the runs before.
type block struct {
	chain    *params.ChainConfig
	context  vm.BlockContext
	gasLimit uint64
	messages []*core.Message
	hashes   []common.Hash // of the transactions
	database *database

	state    *state.StateDB
	receipts types.Receipts
}

func newBlock(request blockRequest) (work, error) {
	if request.Threads > 1 {
		return nil, fmt.Errorf("threads is %d: geth executes blocks without an access list on one", request.Threads)
	}
	chain, merged, err := chainAt(request.Fork, request.ChainID.ToInt())
	if err != nil {
		return nil, err
	}
	database, err := newDatabase(request.Alloc)
	if err != nil {
		return nil, err
	}
	b := &block{
		chain:    chain,
		context:  blockContext(&request, merged),
		gasLimit: uint64(request.Header.GasLimit),
		database: database,
	}
	for index, transaction := range request.Transactions {
		message, err := newTransactionMessage(&transaction, b.context.BaseFee)
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", index, err)
		}
		b.messages = append(b.messages, message)
		// Logs are collected under the transaction's hash. Signatures are not known, so any that are distinct have to do.
		b.hashes = append(b.hashes, common.BigToHash(big.NewInt(int64(index+1))))
	}
	return b, nil
}

func blockContext(request *blockRequest, merged bool) vm.BlockContext {
	header := &request.Header
	context := vm.BlockContext{
		CanTransfer: core.CanTransfer,
		Transfer:    core.Transfer,
		GetHash:     func(number uint64) common.Hash { return request.BlockHashes[hexutil.Uint64(number)] },
		Coinbase:    header.Coinbase,
		GasLimit:    uint64(header.GasLimit),
		BlockNumber: new(big.Int).SetUint64(uint64(header.Number)),
		Time:        uint64(header.Timestamp),
		Difficulty:  header.Difficulty.ToInt(),
		BaseFee:     header.BaseFee.ToInt(),
		BlobBaseFee: header.BlobBaseFee.ToInt(),
	}
	if merged {
		context.Random = &header.PrevRandao
	}
	return context
}

// newTransactionMessage does what core.TransactionToMessage does, with a sender that is known.
func newTransactionMessage(t *transaction, baseFee *big.Int) (*core.Message, error) {
	message := &core.Message{
		To:            t.To,
		From:          t.Sender,
		Nonce:         uint64(t.Nonce),
		Value:         &t.Value,
		GasLimit:      uint64(t.GasLimit),
		GasFeeCap:     t.GasPrice,
		GasTipCap:     t.GasPrice,
		Data:          t.Data,
		BlobGasFeeCap: t.MaxBlobFee,
		BlobHashes:    t.BlobHashes,
	}
	if t.Type >= types.DynamicFeeTxType {
		message.GasFeeCap, message.GasTipCap = t.MaxFee, t.MaxPriorityFee
	}
	if message.GasFeeCap == nil || message.GasTipCap == nil {
		return nil, fmt.Errorf("type %d: its prices of gas are missing", t.Type)
	}
	message.GasPrice = message.GasFeeCap
	if baseFee != nil {
		price := new(uint256.Int)
		_, overflow := price.AddOverflow(uint256.MustFromBig(baseFee), message.GasTipCap)
		if !overflow && price.Lt(message.GasFeeCap) {
			message.GasPrice = price
		}
	}
	if t.AccessList != nil {
		message.AccessList = types.AccessList{}
	}
	for _, entry := range t.AccessList {
		message.AccessList = append(message.AccessList, types.AccessTuple(entry))
	}
	for _, row := range t.Authorizations {
		message.SetCodeAuthorizations = append(message.SetCodeAuthorizations, types.SetCodeAuthorization{
			ChainID: row.ChainID,
			Address: row.Address,
			Nonce:   uint64(row.Nonce),
			V:       uint8(row.YParity),
			R:       row.R,
			S:       row.S,
		})
	}
	return message, nil
}

func (b *block) prepare() error {
	b.receipts = nil
	var err error
	b.state, err = b.database.open()
	return err
}

func (b *block) run() error {
	evm := vm.NewEVM(b.context, b.state, b.chain, vm.Config{})
	defer evm.Release()
	evm.SetJumpDestCache(jumpDests)
	pool := core.NewGasPool(b.gasLimit)
	b.receipts = make(types.Receipts, 0, len(b.messages))
	for index, message := range b.messages {
		hash := b.hashes[index]
		b.state.SetTxContext(hash, index, uint32(index+1))
		result, err := core.ApplyMessage(evm, message, pool)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", index, err)
		}
		// Before Byzantium a node would hash the state here.
		b.state.Finalise(evm.GetRules())
		receipt := &types.Receipt{
			Status:            types.ReceiptStatusSuccessful,
			CumulativeGasUsed: pool.CumulativeUsed(),
			Logs:              b.state.GetLogs(hash, b.context.BlockNumber.Uint64(), common.Hash{}, b.context.Time),
			TxHash:            hash,
			GasUsed:           result.UsedGas,
			BlockNumber:       b.context.BlockNumber,
			TransactionIndex:  uint(index),
		}
		if result.Failed() {
			receipt.Status = types.ReceiptStatusFailed
		}
		b.receipts = append(b.receipts, receipt)
	}
	return b.state.Error()
}

func (b *block) answer() any {
	gas := make([]hexutil.Uint64, len(b.receipts))
	for index, receipt := range b.receipts {
		gas[index] = hexutil.Uint64(receipt.GasUsed)
	}
	return blockAnswer{gas}
}
